//! Known histories, and what is to be said of them.

use super::*;
use crate::histogram::{bucket_of, last_of};
use crate::instant::nanos;
use crate::phases::{PhaseEnding, PhaseRecord, Phases, TimeoutBy};
use crate::source::NEVER;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// The phase `read`, of waits that would have taken so long, each under its budget.
fn history(waits: impl IntoIterator<Item = (u64, u64)>) -> PhaseRecord {
    let mut phases = Phases::default();
    let read = phases.index_of("read");
    for (takes_ns, budget_ns) in waits {
        match takes_ns <= budget_ns {
            true => phases.record(read, PhaseEnding::Done, takes_ns, budget_ns),
            false => phases.record(read, PhaseEnding::Timeout(TimeoutBy::Own), budget_ns, budget_ns),
        }
    }
    phases.records().remove(0)
}

/// So many waits, of 1, 2, … 100 ms in turn.
fn up_to_100_ms(count: u64, budget_ns: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..count).map(move |n| ((n % 100 + 1) * MS, budget_ns))
}

fn advise_on(record: &PhaseRecord) -> PhaseAdvice {
    advise_with(record, AdviceOptions::new())
}

fn advise_with(record: &PhaseRecord, options: AdviceOptions) -> PhaseAdvice {
    let advice = Advice::of(std::slice::from_ref(record), &options).expect("sensible options");
    advice.phases.into_iter().next().expect("one phase")
}

fn verdicts(advice: &PhaseAdvice) -> Vec<Verdict> {
    advice.budgets.iter().map(|budget| budget.verdict).collect()
}

fn ms(count: u64) -> Duration {
    Duration::from_nanos(count * MS)
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn a_deadline_with_room_is_fine() {
    let advice = advise_on(&history(up_to_100_ms(10_000, 500 * MS)));
    assert_eq!(
        (advice.samples, advice.done, advice.timed_out, advice.needed),
        (10_000, 10_000, 0, 3_000)
    );
    assert_eq!(advice.quantile, PhaseQuantile::Known(ms(100)), "the longest is known exactly");
    assert_eq!(advice.proposal, Some(ms(200)));
    assert_eq!(verdicts(&advice), [Verdict::Fine]);
    assert_eq!(advice.budgets[0].longer, Some(0.0));
}

#[test]
fn a_deadline_that_cuts_off_is_too_tight_and_hides_the_quantile() {
    let advice = advise_on(&history(up_to_100_ms(10_000, 50 * MS)));
    assert_eq!((advice.done, advice.timed_out), (5_000, 5_000));
    assert_eq!(advice.quantile, PhaseQuantile::AtLeast(ms(50)), "not the 50 ms of the survivors");
    assert_eq!(advice.proposal, Some(ms(100)), "a step");
    assert_eq!(verdicts(&advice), [Verdict::TooTight]);
    let longer = advice.budgets[0].longer.expect("seen");
    assert!((longer - 0.5).abs() < 1e-9, "{longer}");
}

#[test]
fn one_in_a_thousand_is_what_p99_9_means() {
    // The 100 ms are one wait in a thousand, or two.
    let with = |few: u64| {
        let waits = (0..10_000).map(move |n| (if n % 1_000 < few { 100 * MS } else { MS }, 20 * MS));
        advise_on(&history(waits))
    };
    assert_eq!(with(1).quantile, PhaseQuantile::Known(ms(1)));
    assert_eq!(verdicts(&with(1)), [Verdict::Fine]);
    assert_eq!(with(2).quantile, PhaseQuantile::AtLeast(ms(20)));
    assert_eq!(verdicts(&with(2)), [Verdict::TooTight]);
}

#[test]
fn a_deadline_a_hundred_times_too_long_is_useless_and_so_is_none() {
    let waits = up_to_100_ms(10_000, 20 * S).chain(up_to_100_ms(10_000, 20 * S + 1));
    let waits = waits.chain(up_to_100_ms(41, NEVER)).chain(up_to_100_ms(100, 60 * S));
    let advice = advise_on(&history(waits));
    assert_eq!(advice.proposal, Some(ms(200)));
    let budgets: Vec<_> =
        advice.budgets.iter().map(|advice| advice.budget.map(|(_, longest)| longest)).collect();
    // Two that differ by a nanosecond are one: its shortest is not beyond a hundred times.
    assert_eq!(budgets, [Some(Duration::from_nanos(20 * S + 1)), Some(Duration::from_secs(60)), None]);
    assert_eq!(verdicts(&advice), [Verdict::Fine, Verdict::Useless, Verdict::Useless]);
    assert_eq!(advice.budgets[2].counts.count, 41);
    let alone = advise_on(&history(up_to_100_ms(3_000, 20 * S + 1)));
    assert_eq!(verdicts(&alone), [Verdict::Useless]);
}

#[test]
fn without_enough_samples_nothing_is_proposed() {
    let few = advise_on(&history(up_to_100_ms(2_999, 500 * MS)));
    assert_eq!((few.quantile, few.proposal), (PhaseQuantile::TooFewSamples, None));
    assert_eq!(verdicts(&few), [Verdict::TooFewSamples]);
    let enough = advise_on(&history(up_to_100_ms(3_000, 500 * MS)));
    assert_eq!(enough.quantile, PhaseQuantile::Known(ms(100)));
    let none = advise_on(&history(up_to_100_ms(5, NEVER)));
    assert_eq!(verdicts(&none), [Verdict::Useless], "no deadline is none, however few");
    let with = AdviceOptions::new().quantile(0.9);
    let of_a_hundred = advise_with(&history(up_to_100_ms(100, S)), with).quantile;
    assert_eq!(of_a_hundred, PhaseQuantile::Known(Duration::from_nanos(last_of(bucket_of(90 * MS)))));
}

#[test]
fn timeouts_beyond_chance_need_no_thousands() {
    let one_in = |step: u64, count: u64| {
        let waits = (0..count).map(|n| (if n % step == 0 { 100 * MS } else { MS }, 20 * MS));
        verdicts(&advise_on(&history(waits)))
    };
    assert_eq!(one_in(2, 100), [Verdict::TooTight], "50 of 100");
    assert_eq!(one_in(10, 50), [Verdict::TooTight], "5 of 50");
    assert_eq!(one_in(2, 2), [Verdict::TooFewSamples], "1 of 2 may be chance");
    assert_eq!(one_in(1_000, 1_001), [Verdict::TooFewSamples], "2 of 1001 too");
}

#[test]
fn a_deadline_is_judged_by_what_others_were_seen_to_take() {
    // Three waits under 20 ms got through; by the others four in five take longer.
    let waits = up_to_100_ms(10_000, 500 * MS).chain((0..3).map(|_| (MS, 20 * MS)));
    let advice = advise_on(&history(waits));
    assert_eq!(verdicts(&advice), [Verdict::TooTight, Verdict::Fine]);
    let longer = advice.budgets[0].longer.expect("seen");
    assert!((longer - 0.8).abs() < 0.01, "{longer}");
}

#[test]
fn what_is_beyond_all_that_was_seen_is_not_judged_by_it() {
    // Nearly all are cut off at 5 ms, so that of 10 s nothing is known but what 40, or 4 000, went through.
    let with = |many| {
        let waits = (0..20_000).map(|_| (7 * MS, 5 * MS)).chain((0..many).map(|_| (6 * MS, 10 * S)));
        verdicts(&advise_on(&history(waits)))
    };
    assert_eq!(with(40), [Verdict::TooTight, Verdict::TooFewSamples]);
    assert_eq!(with(4_000), [Verdict::TooTight, Verdict::Useless]);
}

#[test]
fn what_is_left_of_a_deadline_is_taken_together() {
    let waits = up_to_100_ms(10_000, 500 * MS).chain((0..400).map(|n| (MS, 150 * MS + n * MS / 3)));
    let advice = advise_on(&history(waits));
    let budgets: Vec<_> = advice.budgets.iter().map(|advice| advice.budget.expect("bounded")).collect();
    assert_eq!(budgets.first().expect("some").0, ms(150));
    assert!(budgets.len() <= 2, "{budgets:?}");
    assert_eq!(advice.budgets.iter().map(|budget| budget.counts.count).sum::<u64>(), 10_400);
}

#[test]
fn who_begins_too_late_is_told_so_and_weighs_nothing() {
    let mut phases = Phases::default();
    let read = phases.index_of("read");
    for n in 0..3_000 {
        phases.record(read, PhaseEnding::Done, (n % 100 + 1) * MS, S);
        phases.record(read, PhaseEnding::Timeout(TimeoutBy::Scope), 0, 0);
    }
    let advice = advise_on(&phases.records()[0]);
    assert_eq!((advice.samples, advice.quantile), (3_000, PhaseQuantile::Known(ms(100))));
    assert_eq!(verdicts(&advice), [Verdict::TooTight, Verdict::Fine]);
}

#[test]
fn it_never_proposes_less_than_it_has_seen_nor_less_for_more_margin() {
    for seed in 0..60 {
        let mut random = random(seed);
        let waits: Vec<(u64, u64)> = (0..3_000 + random(3_000))
            .map(|_| {
                let bits = 8 + random(28);
                (random(1 << bits), NEVER)
            })
            .collect();
        let record = history(waits.iter().copied());
        let mut sorted: Vec<u64> = waits.iter().map(|(takes, _)| *takes).collect();
        sorted.sort_unstable();
        let mut last = (Duration::ZERO, Duration::ZERO);
        for step in 0..20u64 {
            let margin = 1.0 + step as f64 / 7.0;
            let advice = advise_with(&record, AdviceOptions::new().margin(margin));
            let PhaseQuantile::Known(at) = advice.quantile else { panic!("seed {seed}: all were seen") };
            let rank = (sorted.len() * 999).div_ceil(1000);
            let exact = sorted[rank - 1];
            assert!(nanos(at) >= exact && nanos(at) <= last_of(bucket_of(exact)), "seed {seed}");
            let proposal = advice.proposal.expect("enough");
            assert!(nanos(proposal) as f64 >= exact as f64 * margin, "seed {seed}, margin {margin}");
            assert!(proposal >= last.0, "seed {seed}: less for a margin of {margin}");
            last.0 = proposal;
            let share = 0.5 + step as f64 / 42.0;
            let of_share = advise_with(&record, AdviceOptions::new().quantile(share)).proposal;
            assert!(of_share >= Some(last.1), "seed {seed}: less for a quantile of {share}");
            last.1 = of_share.expect("enough");
        }
    }
}

#[test]
fn a_deadline_put_on_a_history_hides_what_it_cuts_off_and_changes_nothing_else() {
    for seed in 0..60 {
        let mut random = random(seed);
        let takes: Vec<u64> = (0..6_000).map(|_| 1 + random(200 * MS)).collect();
        let limit = 1 + random(400) * MS;
        let free = advise_on(&history(takes.iter().map(|takes| (*takes, 10 * S))));
        let bound = advise_on(&history(takes.iter().map(|takes| (*takes, limit))));
        let PhaseQuantile::Known(truth) = free.quantile else { panic!("seed {seed}") };
        match bound.quantile {
            PhaseQuantile::Known(at) => {
                assert_eq!(at.max(ms(0)), truth.min(bound.longest), "seed {seed}")
            }
            PhaseQuantile::AtLeast(floor) => {
                assert!(nanos(floor) >= limit && floor <= truth, "seed {seed}: {floor:?} of {truth:?}");
                assert_eq!(verdicts(&bound), [Verdict::TooTight], "seed {seed}");
            }
            PhaseQuantile::TooFewSamples => panic!("seed {seed}"),
        }
        let cut = takes.iter().filter(|takes| **takes > limit).count();
        assert_eq!(
            matches!(bound.quantile, PhaseQuantile::AtLeast(_)),
            cut > 6,
            "seed {seed}: {cut} cut off"
        );
    }
}

#[test]
fn nonsense_is_refused() {
    assert!(Advice::of(&[], &AdviceOptions::new().margin(0.0)).is_err());
    assert_eq!(
        Advice::of(&[], &AdviceOptions::new()).expect("sensible").to_string(),
        "no phase has ended yet\n"
    );
}

#[test]
fn a_person_can_act_on_it() {
    let mut phases = Phases::default();
    let [read, resolve] = ["read", "resolve"].map(|phase| phases.index_of(phase));
    for n in 0..10_000u64 {
        let takes = (n % 100 + 1) * MS;
        phases.record(read, PhaseEnding::Done, takes, if n % 250 == 0 { NEVER } else { 60 * S });
        match takes <= 80 * MS {
            true => phases.record(read, PhaseEnding::Done, takes, 80 * MS),
            false => phases.record(read, PhaseEnding::Timeout(TimeoutBy::Idle), 80 * MS, 80 * MS),
        }
        phases.record(read, PhaseEnding::Done, takes, 5 * S);
    }
    for _ in 0..12 {
        phases.record(resolve, PhaseEnding::Done, MS, 10 * S);
    }
    let advice = Advice::of(&phases.records(), &AdviceOptions::new()).expect("sensible options");
    assert_eq!(
        advice.to_string(),
        "read: 30000 waits, 28000 done, 2000 timed out; p99.9 is 100 ms, the longest was 100 ms; proposed: 200 ms
  80 ms  TOO TIGHT  2000 of 10000 timed out (20 %), 19.3 % of all take longer; raise it to 200 ms
  5 s    fine       0 of 10000 timed out; 50 times the p99.9
  60 s   USELESS    0 of 9960 timed out; 600 times the p99.9: lower it to 200 ms
  none   USELESS    40 waited without any deadline; give them 200 ms
resolve: 12 waits, 12 done, 0 timed out; too few for a p99.9: 2988 more are needed
  10 s  too few    0 of 12 timed out
"
    );
}

#[test]
fn a_step_on_the_way_is_called_one() {
    let record = history(up_to_100_ms(10_000, 50 * MS));
    let advice = Advice::of(&[record], &AdviceOptions::new()).expect("sensible options").to_string();
    assert_eq!(
        advice,
        "read: 10000 waits, 5000 done, 5000 timed out; p99.9 is not known, but at least 50 ms: more were cut off by \
         then; proposed: 100 ms
  50 ms  TOO TIGHT  5000 of 10000 timed out (50 %), 50 % of all take longer; raise it to 100 ms at least, and look \
         again
"
    );
}
