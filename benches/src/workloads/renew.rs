//! `renew`: what a deadline that every message renews costs in instructions.

use super::echo;
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row};
use crate::runtimes;

/// What a renewed deadline costs.
pub(crate) const COST: &str = "deadline, instructions";

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let mut rows = echo::counted(&runtimes::wanted(options))?;
    note_differences(&mut rows);
    let targets = targets(&rows);
    Ok(Report { workload: "renew", rounds: 1, rows, targets, machine: String::new() })
}

/// Notes with each row that has a deadline what it costs more than the one without before it.
fn note_differences(rows: &mut [Row]) {
    let mut without: Option<(&'static str, f64)> = None;
    for row in rows {
        let Some(count) = row.median("instructions/request") else { continue };
        if row.subject.variant.ends_with(runtimes::NONE) {
            without = Some((row.subject.peer, count));
        } else if let Some((_, bare)) = without.filter(|(peer, _)| *peer == row.subject.peer) {
            let figures = row.turns.first_mut();
            figures.map(|figures: &mut Figures| figures.insert(COST.into(), count - bare));
        }
    }
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let is_ours = |row: &&Row| row.subject.peer == "punctual" && row.subject.variant != runtimes::NONE;
    let cost = rows.iter().find(is_ours).and_then(|row| row.median(COST));
    Target::most("instructions of a renewed deadline".into(), cost, 60.0).into_iter().collect()
}
