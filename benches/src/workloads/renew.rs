//! `renew`: what a deadline that every message renews costs in instructions.

use super::echo;
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row};
use crate::runtimes;

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let mut rows = echo::counted(options)?;
    let instructions = |row: &Row| row.median("instructions/request");
    let mut without: Option<(&'static str, f64)> = None;
    for row in &mut rows {
        let Some(count) = instructions(row) else { continue };
        if row.subject.variant.ends_with(runtimes::NONE) {
            without = Some((row.subject.peer, count));
        } else if let Some((_, bare)) = without.filter(|(peer, _)| *peer == row.subject.peer) {
            let figures = row.turns.first_mut();
            figures.map(|figures: &mut Figures| {
                figures.insert("deadline, instructions".into(), count - bare)
            });
        }
    }
    let ours =
        rows.iter().find(|row| row.subject.peer == "punctual" && row.subject.variant != runtimes::NONE);
    let cost = ours.and_then(|row| row.median("deadline, instructions"));
    let targets =
        Target::most("instructions of a renewed deadline".into(), cost, 60.0).into_iter().collect();
    Ok(Report { workload: "renew", rounds: 1, rows, targets, machine: String::new() })
}
