//! Precise mode: wake a little before the deadline and spin the rest.

use std::time::Duration;

use crate::instant::nanos;

/// Spends a bounded share of one core on exactness: the alarm goes off a learned lead before the
/// deadline, and the loop polls without sleeping until the deadline has come. Never early still holds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Precise {
    /// The most that may be spun, as a share of the time that passes (0 to 1).
    pub share: f64,
    /// The longest lead before one deadline.
    pub lead_max: Duration,
}

impl Precise {
    /// 2 % of a core, and at most 150 µs before a deadline.
    pub const DEFAULT: Precise = Precise { share: 0.02, lead_max: Duration::from_micros(150) };
}

impl Default for Precise {
    fn default() -> Precise {
        Precise::DEFAULT
    }
}

/// Learns the lead and keeps the account of what may still be spun.
#[derive(Debug)]
pub(crate) struct Spinner {
    share: f64,
    lead_max_ns: u64,
    /// A running estimate of the 90th percentile of the kernel's wake-up.
    lead_ns: u64,
    /// Nanoseconds that may be spun now: a token bucket.
    allowance_ns: f64,
    filled_at_ns: u64,
    /// What the turn is a rehearsal for, and when the loop woke for it.
    rehearses: Option<(u64, u64)>,
}

/// What the rehearsal takes: a turn that finds nothing, with little of it in the caches.
const REHEARSAL_NS: u64 = 8_000;

/// What the bucket holds at most: a burst of a few dozen exact deadlines.
const BURST_NS: f64 = 4_000_000.0;

impl Spinner {
    pub(crate) fn new(precise: Precise, now_ns: u64) -> Spinner {
        let lead_max_ns = nanos(precise.lead_max);
        Spinner {
            share: precise.share,
            lead_max_ns,
            lead_ns: lead_max_ns / 2,
            allowance_ns: BURST_NS * precise.share.min(0.5),
            filled_at_ns: now_ns,
            rehearses: None,
        }
    }

    /// How long before `deadline_ns`, which is to come, to wake; zero when the account does not cover it.
    pub(crate) fn lead(&mut self, deadline_ns: u64, now_ns: u64, rehearses: bool) -> u64 {
        if let Some((for_ns, woke_ns)) = self.rehearses.take() {
            self.spent(now_ns.min(for_ns).saturating_sub(woke_ns));
            if for_ns == deadline_ns {
                return deadline_ns - now_ns;
            }
        }
        let lead_ns = if rehearses { self.lead_ns + REHEARSAL_NS } else { self.lead_ns };
        if self.is_covered(lead_ns, now_ns) { lead_ns } else { 0 }
    }

    /// The loop woke at `woke_ns` for a deadline. Before it spins it takes a turn, in which it finds nothing: after a sleep its
    /// code and data are in no cache, and what fires would wait for them.
    pub(crate) fn rehearse(&mut self, deadline_ns: u64, woke_ns: u64) {
        self.rehearses = Some((deadline_ns, woke_ns));
    }

    /// Whether a turn that goes on now is one like that.
    pub(crate) fn rehearses(&self, now_ns: u64) -> bool {
        self.rehearses.is_some_and(|(for_ns, _)| now_ns < for_ns)
    }

    fn is_covered(&mut self, lead_ns: u64, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.filled_at_ns);
        self.filled_at_ns = self.filled_at_ns.max(now_ns);
        self.allowance_ns = (self.allowance_ns + passed as f64 * self.share).min(BURST_NS);
        self.allowance_ns >= lead_ns as f64
    }

    /// Pays for a spin.
    pub(crate) fn spent(&mut self, ns: u64) {
        self.allowance_ns -= ns as f64;
    }

    /// Learns from one wake-up that came `late_ns` after its alarm. The estimate climbs nine steps for
    /// a later one and falls one for an earlier, which settles where nine of ten are earlier. A wake-up
    /// later than four times the cap was a preemption, and is not chased.
    pub(crate) fn learn(&mut self, late_ns: u64) {
        if late_ns > 4 * self.lead_max_ns {
            return;
        }
        let step = (self.lead_ns / 64).max(50);
        self.lead_ns = if late_ns > self.lead_ns {
            (self.lead_ns + 9 * step).min(self.lead_max_ns)
        } else {
            self.lead_ns.saturating_sub(step)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_settles_at_the_ninth_decile() {
        let mut spinner = Spinner::new(Precise::DEFAULT, 0);
        for round in 0..2_000u64 {
            // A deterministic spread over 0..100 µs.
            spinner.learn((round * 37 % 100) * 1_000);
        }
        assert!((70_000..=115_000).contains(&spinner.lead_ns), "{} ns", spinner.lead_ns);
    }

    #[test]
    fn preemptions_are_not_chased_and_the_cap_holds() {
        let mut spinner = Spinner::new(Precise::DEFAULT, 0);
        let before = spinner.lead_ns;
        spinner.learn(5_000_000);
        assert_eq!(spinner.lead_ns, before);
        (0..500).for_each(|_| spinner.learn(400_000));
        assert_eq!(spinner.lead_ns, 150_000);
    }

    #[test]
    fn who_woke_for_a_deadline_spins_for_it_after_a_rehearsal_and_pays_for_both() {
        let mut spinner = Spinner::new(Precise::DEFAULT, 0);
        let (deadline_ns, woke_ns) = (1_000_000_000, 999_950_000);
        let lead_ns = spinner.lead(deadline_ns, 900_000_000, true);
        assert_eq!(lead_ns, spinner.lead_ns + REHEARSAL_NS);
        spinner.rehearse(deadline_ns, woke_ns);
        assert!(spinner.rehearses(woke_ns) && !spinner.rehearses(deadline_ns));
        let before = spinner.allowance_ns;
        assert_eq!(spinner.lead(deadline_ns, woke_ns + 3_000, true), 47_000, "until it has come");
        assert_eq!(before - spinner.allowance_ns, 3_000.0);
        // A nearer one came, much later than the other should have: that is charged no longer than until then.
        spinner.rehearse(deadline_ns, woke_ns);
        let before = spinner.allowance_ns;
        let lead_ns = spinner.lead(deadline_ns + 900_000, woke_ns + 800_000, true);
        assert_eq!(lead_ns, spinner.lead_ns + REHEARSAL_NS);
        assert!(before - spinner.allowance_ns <= 50_000.0);
    }

    #[test]
    fn spinning_stops_when_the_account_is_empty_and_resumes_at_its_share() {
        let mut spinner = Spinner::new(Precise::DEFAULT, 0);
        let (mut now, mut spun) = (0u64, 0u64);
        for _ in 0..100_000 {
            now += 500_000;
            let lead = spinner.lead(now + 400_000, now, false);
            spinner.spent(lead);
            spun += lead;
        }
        let share = spun as f64 / now as f64;
        assert!((0.015..=0.0201).contains(&share), "spun {share} of the time");
    }
}
