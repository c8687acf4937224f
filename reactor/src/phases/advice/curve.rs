//! [`Curve`]: which share of a phase takes longer than what, when some of it was cut off.
//!
//! What was cut off after 5 s would have taken longer than 5 s, and nobody knows how much. To leave it out would
//! make every deadline look generous: what survived it is, of necessity, shorter. So it is counted as long as it
//! was seen, and no longer: the product-limit estimator (E. L. Kaplan and P. Meier, "Nonparametric Estimation from
//! Incomplete Observations", J. Am. Stat. Assoc. 53, 1958). Without anything cut off it is the rank in the sorted
//! durations.
//!
//! ```text
//!  share that takes longer
//!   1 ──┐
//!       └──┐                        each that is done at t takes its share of those
//!          └───┐   ✕ cut off        that are still seen at t; each that is cut off
//!              └──────┐             leaves those that are seen, and takes no share
//!                     └ ─ ─ ?       until too few are seen: beyond that nothing is known
//!   0 ─────────────────────────▶ t
//! ```

use std::time::Duration;

use crate::histogram::{Histogram, bucket_of, first_of, last_of};
use crate::instant::nanos;

/// Below this two shares are the same: they are products of up to 1 920 factors.
const SAME: f64 = 1e-12;

pub(super) struct Curve {
    /// Buckets, and the share that takes longer than them, in order.
    steps: Vec<(usize, f64)>,
    /// The last bucket up to which enough were seen; `None` if all were seen to their end.
    known_to: Option<usize>,
}

/// Where a quantile lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// There, within a bucket; never below.
    At(Duration),
    /// Not before that.
    NotBefore(Duration),
}

/// The share that takes longer than some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Longer {
    Share(f64),
    /// Too few were seen as long as that; no more than this share.
    AtMost(f64),
}

impl Curve {
    /// From what was done and what was cut off, with the durations of at least `needed` in mind: where the few that
    /// are still seen stand for fewer than that, the curve ends.
    pub(super) fn of(done: &Histogram, cut_off: &Histogram, needed: u64) -> Curve {
        let mut curve = Curve { steps: Vec::new(), known_to: None };
        let mut seen = done.count() + cut_off.count();
        let mut longer = 1.0;
        for (bucket, (done, cut_off)) in done.pairs(cut_off) {
            if done > 0 {
                longer *= 1.0 - done as f64 / seen as f64;
                curve.steps.push((bucket, longer));
            }
            seen -= done + cut_off;
            // As many as would leave so many to be seen, had none been cut off.
            let stand_for = seen as f64 / longer;
            if cut_off > 0 && longer > SAME && stand_for < needed as f64 {
                curve.known_to = Some(bucket);
                break;
            }
        }
        curve
    }

    /// The shortest time that at least the share `q` does not exceed.
    pub(super) fn quantile(&self, q: f64) -> Found {
        let at = self.steps.iter().find(|(_, longer)| *longer <= 1.0 - q + SAME);
        match (at, self.known_to) {
            (Some((bucket, _)), _) => Found::At(Duration::from_nanos(last_of(*bucket))),
            (None, Some(bucket)) => Found::NotBefore(Duration::from_nanos(first_of(bucket))),
            (None, None) => Found::NotBefore(Duration::ZERO),
        }
    }

    /// The share that takes longer than `limit`. What ends in its bucket is taken to end in time.
    pub(super) fn longer_than(&self, limit: Duration) -> Longer {
        let bucket = bucket_of(nanos(limit));
        let passed = self.steps.partition_point(|(step, _)| *step <= bucket);
        let share = passed.checked_sub(1).map_or(1.0, |last| self.steps[last].1);
        match self.known_to {
            Some(last) if bucket > last => Longer::AtMost(share),
            _ => Longer::Share(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const Q: f64 = 0.999;

    /// A duration in nanoseconds, and whether it was done then.
    type Seen = (u64, bool);

    fn curve(seen: &[Seen], needed: u64) -> Curve {
        let (mut done, mut cut_off) = (Histogram::new(), Histogram::new());
        for (ns, is_done) in seen {
            if *is_done { done.record(*ns) } else { cut_off.record(*ns) }
        }
        Curve::of(&done, &cut_off, needed)
    }

    /// In a bucket what was done counts as done before what was cut off.
    fn sorted(seen: &[Seen]) -> Vec<Seen> {
        let mut sorted: Vec<Seen> = seen.to_vec();
        sorted.sort_by_cached_key(|(ns, done)| (bucket_of(*ns), !done, *ns));
        sorted
    }

    /// The slow twin: one duration after the other.
    fn twin(sorted: &[Seen], q_permille: u64) -> Option<u64> {
        let mut longer = 1.0f64;
        for (at, (ns, done)) in sorted.iter().enumerate() {
            let left = (sorted.len() - at) as f64;
            longer *= if *done { (left - 1.0) / left } else { 1.0 };
            if longer <= 1.0 - q_permille as f64 / 1000.0 + 1e-9 {
                return Some(*ns);
            }
        }
        None
    }

    #[test]
    fn without_a_cut_it_is_the_rank_in_the_sorted_durations() {
        for n in [1000u64, 1001, 1999, 5000] {
            let seen: Vec<Seen> = (1..=n).map(|rank| (rank * MS, true)).collect();
            let rank = (n * 999).div_ceil(1000);
            let Found::At(found) = curve(&seen, 1).quantile(Q) else { panic!("known") };
            assert_eq!(nanos(found), last_of(bucket_of(rank * MS)), "of {n}");
            assert_eq!(twin(&sorted(&seen), 999), Some(rank * MS));
        }
    }

    #[test]
    fn what_survives_a_deadline_says_nothing_of_what_did_not() {
        // One in a hundred is cut off at 50 ms; the others take at most 10.
        let seen: Vec<Seen> = (0..10_000)
            .map(|n| if n % 100 == 0 { (50 * MS, false) } else { (n % 10 * MS, true) })
            .collect();
        let curve = curve(&seen, 1000);
        let Found::NotBefore(floor) = curve.quantile(Q) else { panic!("it cannot be known") };
        assert!((48 * MS..=50 * MS).contains(&nanos(floor)), "{floor:?}");
        let Longer::Share(share) = curve.longer_than(Duration::from_millis(50)) else { panic!("seen") };
        assert!((share - 0.01).abs() < 1e-9);
        let Longer::AtMost(share) = curve.longer_than(Duration::from_millis(60)) else {
            panic!("unseen")
        };
        assert!((share - 0.01).abs() < 1e-9);
        assert_eq!(curve.quantile(0.98), Found::At(Duration::from_nanos(last_of(bucket_of(9 * MS)))));
    }

    #[test]
    fn those_with_more_time_tell_of_those_with_less() {
        // Half has 100 ms, half has 10 s; one in twenty takes 500 ms.
        let seen: Vec<Seen> = (0..100_000u64)
            .map(|n| match (n % 20 == 0, n % 40 < 20) {
                (true, true) => (100 * MS, false),
                (true, false) => (500 * MS, true),
                (false, _) => (MS, true),
            })
            .collect();
        let curve = curve(&seen, 1000);
        assert_eq!(curve.quantile(Q), Found::At(Duration::from_nanos(last_of(bucket_of(500 * MS)))));
        let Longer::Share(share) = curve.longer_than(Duration::from_millis(100)) else { panic!("seen") };
        assert!((share - 0.05).abs() < 1e-9, "{share}");
    }

    #[test]
    fn one_that_was_seen_for_an_hour_does_not_speak_for_five_hundred() {
        let mut seen = vec![(MS, true); 9_500];
        seen.extend([(1000 * MS, false); 500]);
        seen.push((3_600_000 * MS, false));
        let Found::NotBefore(floor) = curve(&seen, 1000).quantile(Q) else {
            panic!("it cannot be known")
        };
        assert!(floor <= Duration::from_secs(1), "{floor:?}");
    }

    #[test]
    fn random_histories_are_read_as_the_twin_reads_them() {
        for seed in 0..40u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let (n, cuts) = (1000 + random(4000), [0, 1, 10, 300][random(4) as usize]);
            let seen: Vec<Seen> = (0..n)
                .map(|_| {
                    let bits = 10 + random(25);
                    (random(1 << bits), random(1000) >= cuts)
                })
                .collect();
            // Nothing is needed: the curve goes as far as the twin does.
            let (curve, sorted) = (curve(&seen, 0), sorted(&seen));
            for permille in [500, 900, 990, 999] {
                let found = curve.quantile(permille as f64 / 1000.0);
                match (found, twin(&sorted, permille)) {
                    (Found::At(found), Some(twin)) => {
                        assert_eq!(bucket_of(nanos(found)), bucket_of(twin), "seed {seed}, {permille}");
                        assert!(nanos(found) >= twin, "seed {seed}: {found:?} is below {twin}");
                    }
                    (Found::NotBefore(_), None) => {}
                    other => panic!("seed {seed}, {permille}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_never_makes_a_quantile_shorter() {
        for cut_one_in in [3u64, 10, 100] {
            let all: Vec<Seen> = (0..20_000u64).map(|n| ((n * 7919) % 20_011 * 1000, true)).collect();
            let mut cut = all.clone();
            for seen in cut.iter_mut().step_by(cut_one_in as usize) {
                *seen = (seen.0 / 2, false);
            }
            let survivors: Vec<Seen> = cut.iter().copied().filter(|(_, done)| *done).collect();
            for q in [0.5, 0.9, 0.99] {
                let Found::At(biased) = curve(&survivors, 1).quantile(q) else { panic!("known") };
                let (Found::At(found) | Found::NotBefore(found)) = curve(&cut, 1).quantile(q);
                assert!(found >= biased, "{found:?} of all, {biased:?} of survivors");
            }
        }
    }
}
