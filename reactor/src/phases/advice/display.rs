//! Advice as a person reads it.

use std::fmt;

use super::humane::{Percent, Short, three_digits};
use super::{Advice, BudgetAdvice, PhaseAdvice, PhaseQuantile, Verdict};
use crate::instant::nanos;
use crate::one_line::OneLine;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phases.is_empty() {
            return f.write_str("no phase has ended yet\n");
        }
        let name = format!("p{}", shortest(self.options.quantile * 100.0));
        for phase in &self.phases {
            phase.write_line(f, &name)?;
            let budgets: Vec<String> = phase.budgets.iter().map(BudgetAdvice::name).collect();
            let width = budgets.iter().map(|budget| budget.chars().count()).max().unwrap_or(0);
            for (budget, advice) in budgets.iter().zip(&phase.budgets) {
                write!(f, "  {budget:width$}  {:9}  ", advice.verdict)?;
                phase.write_reasons(f, advice, &name)?;
            }
        }
        Ok(())
    }
}

/// Without the digits that floating point makes up.
fn shortest(percent: f64) -> String {
    let text = format!("{percent:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl PhaseAdvice {
    fn write_line(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let PhaseAdvice { samples, done, timed_out, needed, .. } = self;
        write!(f, "{}: {samples} waits, {done} done, {timed_out} timed out; ", OneLine(self.phase))?;
        match self.quantile {
            PhaseQuantile::Known(at) => {
                write!(f, "{name} is {}, the longest was {}", Short(at), Short(self.longest))?;
            }
            PhaseQuantile::AtLeast(floor) => {
                write!(
                    f,
                    "{name} is not known, but at least {}: more were cut off by then",
                    Short(floor)
                )?;
            }
            PhaseQuantile::TooFewSamples => {
                let more = needed.saturating_sub(*samples);
                return writeln!(f, "too few for a {name}: {more} more are needed");
            }
        }
        match self.proposal {
            Some(proposal) => writeln!(f, "; proposed: {}", Short(proposal)),
            None => writeln!(f),
        }
    }

    fn write_reasons(
        &self,
        f: &mut fmt::Formatter<'_>,
        advice: &BudgetAdvice,
        name: &str,
    ) -> fmt::Result {
        let Some((shortest, longest)) = advice.budget else {
            write!(f, "{} waited without any deadline", advice.counts.count)?;
            return match self.proposal {
                Some(proposal) => writeln!(f, "; give them {}", Short(proposal)),
                None => writeln!(f),
            };
        };
        if longest.is_zero() {
            return writeln!(f, "{} began after their deadline had passed", advice.counts.count);
        }
        let (timed_out, count) = (advice.counts.timed_out, advice.counts.count);
        write!(f, "{timed_out} of {count} timed out")?;
        if timed_out > 0 {
            write!(f, " ({})", Percent(timed_out as f64 / count as f64))?;
        }
        if let Some(longer) = advice.longer.filter(|longer| *longer > 0.0) {
            write!(f, ", {} of all take longer", Percent(longer))?;
        }
        let known = match self.quantile {
            PhaseQuantile::Known(at) if !at.is_zero() => Some(at),
            _ => None,
        };
        match (advice.verdict, self.proposal) {
            (Verdict::TooTight, Some(proposal)) if proposal > longest && known.is_some() => {
                writeln!(f, "; raise it to {}", Short(proposal))
            }
            (Verdict::TooTight, Some(proposal)) if proposal > longest => {
                writeln!(f, "; raise it to {} at least, and look again", Short(proposal))
            }
            (Verdict::Useless, Some(proposal)) => {
                writeln!(
                    f,
                    "; {} times the {name}: lower it to {}",
                    self.ratio(shortest),
                    Short(proposal)
                )
            }
            (Verdict::Fine, _) if known.is_some() => {
                writeln!(f, "; {} times the {name}", self.ratio(shortest))
            }
            _ => writeln!(f),
        }
    }

    /// How many times the quantile that is.
    fn ratio(&self, budget: std::time::Duration) -> String {
        let PhaseQuantile::Known(at) = self.quantile else { return "many".to_owned() };
        three_digits(nanos(budget) as f64 / nanos(at).max(1) as f64)
    }
}

impl BudgetAdvice {
    fn name(&self) -> String {
        match self.budget {
            None => "none".to_owned(),
            Some((shortest, longest)) if longest.is_zero() || shortest == longest => {
                Short(longest).to_string()
            }
            Some((shortest, longest)) => format!("{} to {}", Short(shortest), Short(longest)),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::TooTight => "TOO TIGHT",
            Verdict::Useless => "USELESS",
            Verdict::Fine => "fine",
            Verdict::TooFewSamples => "too few",
        })
    }
}
