//! Turns, medians and ratios.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one subject measured in one turn, by name of the figure.
pub(crate) type Figures = BTreeMap<Cow<'static, str>, f64>;

/// One peer in one way of using it, at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) peer: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) param: String,
}

/// All turns of one subject.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    pub(crate) turns: Vec<Figures>,
}

impl Row {
    pub(crate) fn names(&self) -> Vec<&str> {
        Row::names_of(std::slice::from_ref(self))
    }

    /// The figures that any of `rows` has.
    pub(crate) fn names_of(rows: &[Row]) -> Vec<&str> {
        let turns = rows.iter().flat_map(|row| &row.turns);
        let mut names: Vec<&str> = turns.flat_map(|figures| figures.keys().map(Cow::as_ref)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        median(self.turns.iter().filter_map(|figures| figures.get(figure).copied()))
    }

    /// The median of this row's figure over the other's, each within its round.
    pub(crate) fn ratio(&self, other: &Row, figure: &str) -> Option<f64> {
        let pairs = self.turns.iter().zip(&other.turns);
        median(pairs.filter_map(|(a, b)| Some(a.get(figure)? / b.get(figure)?)))
    }
}

/// Gives each of `subjects` its turn, `rounds` times. The order is turned by one each round, so that none always has the
/// same neighbour.
pub(crate) fn by_turns(
    subjects: Vec<Subject>,
    rounds: u16,
    mut turn: impl FnMut(&Subject) -> Result<Figures, String>,
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> =
        subjects.into_iter().map(|subject| Row { subject, turns: Vec::new() }).collect();
    let count = rows.len();
    for round in 0..usize::from(rounds) {
        for at in 0..count {
            let row = &mut rows[(at + round) % count];
            let figures = turn(&row.subject)
                .map_err(|why| format!("{} ({}): {why}", row.subject.peer, row.subject.variant))?;
            row.turns.push(figures);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    Ok(rows)
}

/// As [`by_turns`], but in each round all of them at once, each `apart` after the one before: for what does nothing most of the time.
pub(crate) fn together(
    subjects: Vec<Subject>,
    rounds: u16,
    apart: Duration,
    turn: impl Fn(&Subject) -> Result<Figures, String> + Sync,
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> =
        subjects.into_iter().map(|subject| Row { subject, turns: Vec::new() }).collect();
    for round in 0..rounds {
        std::thread::scope(|scope| {
            let turn = &turn;
            let begin = |(at, row): (usize, &Row)| {
                let subject = row.subject.clone();
                scope.spawn(move || {
                    std::thread::sleep(apart * at as u32);
                    turn(&subject)
                })
            };
            let begun: Vec<_> = rows.iter().enumerate().map(begin).collect();
            for (row, turn) in rows.iter_mut().zip(begun) {
                let figures = turn.join().unwrap_or_else(|_| Err("it panicked".into()));
                let subject = &row.subject;
                row.turns.push(
                    figures.map_err(|why| format!("{} ({}): {why}", subject.peer, subject.variant))?,
                );
            }
            Ok::<(), String>(())
        })?;
        eprintln!("round {} of {rounds}", round + 1);
    }
    Ok(rows)
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// The value below which `share` of the sorted values are.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> u64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ratios_and_quantiles() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median([f64::NAN].into_iter()), None);
        assert_eq!((quantile(&[1, 2, 3, 4], 0.5), quantile(&[1, 2, 3, 4], 0.99)), (2, 4));
        assert_eq!(quantile(&[], 0.5), 0);
        let subject = Subject { peer: "a", variant: "b", param: String::new() };
        let row = |values: &[f64]| Row {
            subject: subject.clone(),
            turns: values.iter().map(|value| Figures::from([("x".into(), *value)])).collect(),
        };
        // Paired: the rounds of a machine that got slower cancel out.
        assert_eq!(row(&[1.0, 10.0, 100.0]).ratio(&row(&[2.0, 20.0, 200.0]), "x"), Some(0.5));
    }

    #[test]
    fn everyone_has_a_turn_in_each_round() {
        let subject = |peer| Subject { peer, variant: "", param: String::new() };
        let mut order = String::new();
        let rows = by_turns(vec![subject("a"), subject("b")], 2, |subject| {
            order.push_str(subject.peer);
            Ok(Figures::new())
        });
        assert_eq!(order, "abba");
        assert!(rows.expect("no turn failed").iter().all(|row| row.turns.len() == 2));
    }
}
