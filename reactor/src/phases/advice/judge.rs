//! From a record to a proposal and verdicts.

use std::time::Duration;

use super::curve::{Curve, Found, Longer};
use super::humane::{round_up, times};
use super::{AdviceOptions, BudgetAdvice, PhaseAdvice, PhaseQuantile, Verdict};
use crate::histogram::bucket_of;
use crate::instant::nanos;
use crate::phases::{BudgetCounts, BudgetRecord, PhaseRecord};

/// What a share has to differ by to be another one: it is a sum of many roundings.
const SAME: f64 = 1e-9;

/// How unlikely the timeouts of a deadline at the quantile may be before something else than chance is behind them.
const CHANCE: f64 = 1e-3;

pub(super) fn phase(record: &PhaseRecord, options: &AdviceOptions) -> PhaseAdvice {
    let unseen = record.cut_off.pairs(&record.cut_off).next().map_or(0, |(bucket, (count, _))| {
        // Over before it began: that says nothing of how long it would have taken.
        if bucket == 0 { count } else { 0 }
    });
    let samples = record.done.count() + record.cut_off.count() - unseen;
    let needed = options.needed();
    let curve = Curve::of(&record.done, &record.cut_off, needed);
    let quantile = match curve.quantile(options.quantile) {
        _ if samples < needed => PhaseQuantile::TooFewSamples,
        Found::At(at) => PhaseQuantile::Known(at.min(record.done.max())),
        Found::NotBefore(floor) => PhaseQuantile::AtLeast(at_least(floor, &record.budgets)),
    };
    let proposal = proposal(quantile, options);
    let judge = Judge { options, curve, enough: samples >= needed, proposal };
    let mut budgets: Vec<BudgetAdvice> = Vec::with_capacity(record.budgets.len() + 1);
    for budget in &record.budgets {
        let advice = judge.budget(budget);
        match budgets.last_mut() {
            Some(last) if are_rests_alike(last, &advice) => last.join(advice),
            _ => budgets.push(advice),
        }
    }
    if record.unbounded.count > 0 {
        budgets.push(BudgetAdvice {
            budget: None,
            counts: record.unbounded,
            longer: Some(0.0),
            verdict: Verdict::Useless,
        });
    }
    PhaseAdvice {
        phase: record.phase,
        samples,
        done: record.done.count(),
        timed_out: record.endings.timeouts(),
        needed,
        quantile,
        longest: record.done.max(),
        proposal,
        budgets,
    }
}

/// The quantile is not in the bucket that ends at `floor`; of the budgets that cut something off in it the longest
/// is known exactly.
fn at_least(floor: Duration, budgets: &[BudgetRecord]) -> Duration {
    let bucket = bucket_of(nanos(floor));
    let cut_here = budgets
        .iter()
        .filter(|budget| budget.counts.timed_out > 0 && bucket_of(nanos(budget.shortest)) == bucket);
    cut_here.map(|budget| budget.shortest).max().map_or(floor, |cut| cut.max(floor))
}

fn proposal(quantile: PhaseQuantile, options: &AdviceOptions) -> Option<Duration> {
    match quantile {
        PhaseQuantile::Known(time) | PhaseQuantile::AtLeast(time) => {
            Some(round_up(times(time, options.margin).max(options.at_least)))
        }
        PhaseQuantile::TooFewSamples => None,
    }
}

struct Judge<'a> {
    options: &'a AdviceOptions,
    curve: Curve,
    enough: bool,
    proposal: Option<Duration>,
}

impl Judge<'_> {
    fn budget(&self, budget: &BudgetRecord) -> BudgetAdvice {
        let longer = self.curve.longer_than(budget.longest);
        BudgetAdvice {
            budget: Some((budget.shortest, budget.longest)),
            counts: budget.counts,
            longer: match longer {
                Longer::Share(share) if self.enough => Some(share),
                _ => None,
            },
            verdict: self.verdict(budget, longer),
        }
    }

    fn verdict(&self, budget: &BudgetRecord, longer: Longer) -> Verdict {
        // It began after its deadline: the one to blame is whatever used the time up before.
        if budget.longest.is_zero() {
            return Verdict::TooTight;
        }
        let beyond = 1.0 - self.options.quantile;
        let BudgetCounts { count, timed_out, .. } = budget.counts;
        if is_more_than_chance(timed_out, count as f64 * beyond) {
            return Verdict::TooTight;
        }
        if !self.enough {
            return Verdict::TooFewSamples;
        }
        match longer {
            Longer::Share(share) if share > beyond + SAME => Verdict::TooTight,
            Longer::AtMost(share) if share > beyond + SAME => {
                // Nothing else was seen for so long; it speaks for itself, if it can.
                let speaks = count >= self.options.needed();
                if speaks { Verdict::Fine } else { Verdict::TooFewSamples }
            }
            Longer::Share(_) | Longer::AtMost(_) if self.is_useless(budget.shortest) => Verdict::Useless,
            Longer::Share(_) | Longer::AtMost(_) => Verdict::Fine,
        }
    }

    fn is_useless(&self, shortest: Duration) -> bool {
        let limit = self.proposal.map(|proposal| times(proposal, self.options.useless_from));
        limit.is_some_and(|limit| shortest > limit)
    }
}

/// Whether `count` events are too many for `expected` of them (the tail of Poisson's distribution).
fn is_more_than_chance(count: u64, expected: f64) -> bool {
    let far = expected + 10.0 * expected.sqrt() + 10.0;
    if count as f64 > far {
        return true;
    }
    let mut term = (-expected).exp();
    let mut fewer = 0.0;
    for k in 0..count {
        fewer += term;
        term *= expected / (k + 1) as f64;
    }
    1.0 - fewer < CHANCE
}

/// What is left of a deadline is different each time, and no two of these are in use on purpose.
fn are_rests_alike(a: &BudgetAdvice, b: &BudgetAdvice) -> bool {
    let is_rest =
        |advice: &BudgetAdvice| advice.budget.is_some_and(|(shortest, longest)| shortest < longest);
    is_rest(a) && is_rest(b) && a.verdict == b.verdict
}

impl BudgetAdvice {
    /// Takes the next longer ones along.
    fn join(&mut self, next: BudgetAdvice) {
        let (mine, theirs) = (self.budget, next.budget);
        self.budget = mine.zip(theirs).map(|((shortest, _), (_, longest))| (shortest, longest));
        self.counts.count += next.counts.count;
        self.counts.done += next.counts.done;
        self.counts.timed_out += next.counts.timed_out;
        self.longer = next.longer;
    }
}
