//! What the hot paths cost once, and what has grown since.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// A path may grow by this share.
pub const MOST: f64 = 0.05;
/// Where another compiler or another valgrind counts: what they change is not the code's doing.
pub const MOST_WITH_OTHER_TOOLS: f64 = 0.25;

/// What the counts depend on, besides the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// As `rustc --version` says.
    pub rustc: String,
    /// As `valgrind --version` says.
    pub valgrind: String,
    /// The processor's architecture.
    pub target: String,
}

/// Instructions by path.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    tools: Tools,
    counts: BTreeMap<String, f64>,
}

/// A path that costs something else now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    path: String,
    was: Option<f64>,
    is: Option<f64>,
    /// Whether it must be looked at.
    pub fails: bool,
}

impl Baseline {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(tools: Tools) -> Baseline {
        Baseline { tools, counts: BTreeMap::new() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// If it is not there, or is not one.
    pub fn read(file: &Path) -> Result<Baseline, String> {
        let at = |why: String| format!("{}: {why}; `--bless` writes it", file.display());
        let text = fs::read_to_string(file).map_err(|error| at(error.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| at(error.to_string()))?;
        Baseline::of_value(&value).ok_or_else(|| at("it is not a baseline".into()))
    }

    fn of_value(value: &Value) -> Option<Baseline> {
        let word = |name| Some(value.get(name)?.as_str()?.to_owned());
        let counts = value.get("instructions")?.as_object()?.iter();
        let counts = counts.map(|(path, count)| Some((path.clone(), count.as_f64()?)));
        let tools =
            Tools { rustc: word("rustc")?, valgrind: word("valgrind")?, target: word("target")? };
        Some(Baseline { tools, counts: counts.collect::<Option<_>>()? })
    }

    /// Writes it, a path a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        let text = format!("{:#}\n", self.value());
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn value(&self) -> Value {
        let counts: Map<String, Value> =
            self.counts.iter().map(|(path, count)| (path.clone(), json!(count))).collect();
        let Tools { rustc, valgrind, target } = &self.tools;
        json!({ "rustc": rustc, "valgrind": valgrind, "target": target, "instructions": counts })
    }

    /// Notes what `path` costs, to a tenth of an instruction.
    pub fn set(&mut self, path: &str, count: f64) {
        self.counts.insert(path.to_owned(), (count * 10.0).round() / 10.0);
    }

    /// What `path` costs.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<f64> {
        self.counts.get(path).copied()
    }

    /// All paths, and what they cost.
    pub fn counts(&self) -> impl Iterator<Item = (&str, f64)> {
        self.counts.iter().map(|(path, count)| (path.as_str(), *count))
    }

    /// By which share a path may have grown if `tools` count now: more than usual if they are not those of this baseline, which is
    /// said. Nothing if they count another processor's instructions.
    #[must_use]
    pub fn limit(&self, tools: &Tools) -> Option<f64> {
        if tools.target != self.tools.target {
            println!("SKIPPED: the baseline is of {}, this is {}", self.tools.target, tools.target);
            return None;
        }
        if *tools == self.tools {
            return Some(MOST);
        }
        println!(
            "NOTE: counted by {} and {}, the baseline by {} and {}: the limit is {:.0} % here. `--bless` with those that shall count.",
            tools.rustc,
            tools.valgrind,
            self.tools.rustc,
            self.tools.valgrind,
            MOST_WITH_OTHER_TOOLS * 100.0
        );
        Some(MOST_WITH_OTHER_TOOLS)
    }

    /// What must be said of `now`: paths that have grown by more than `limit`, that have shrunk by more (and may grow back unseen until
    /// that is blessed), that are new and that are gone.
    #[must_use]
    pub fn changes(&self, now: &Baseline, limit: f64) -> Vec<Change> {
        let mut paths: Vec<&String> = self.counts.keys().chain(now.counts.keys()).collect();
        paths.sort();
        paths.dedup();
        let change = |path: &String| {
            let (was, is) = (self.of(path), now.of(path));
            let change = |fails| Some(Change { path: path.clone(), was, is, fails });
            match (was, is) {
                (Some(was), Some(is)) if is > was * (1.0 + limit) => change(true),
                (Some(was), Some(is)) if is < was * (1.0 - limit) => change(false),
                (Some(_), Some(_)) => None,
                _ => change(true),
            }
        };
        paths.into_iter().filter_map(change).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.fails { "FAIL" } else { "NOTE" };
        write!(f, "{word}: {}: ", self.path)?;
        match (self.was, self.is) {
            (Some(was), Some(is)) => {
                write!(f, "was {was:.1}, is {is:.1} instructions, {:+.1} %", (is / was - 1.0) * 100.0)?;
                if self.fails { Ok(()) } else { write!(f, "; `--bless` keeps it") }
            }
            (Some(was), None) => {
                write!(f, "was {was:.1}, is not counted any more; `--bless` forgets it")
            }
            (None, Some(is)) => write!(f, "is {is:.1}, was not counted; `--bless` adds it"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(counts: &[(&str, f64)]) -> Baseline {
        let word = str::to_owned;
        let tools = Tools { rustc: word("1.95"), valgrind: word("3.19"), target: word("x86_64") };
        let mut baseline = Baseline::new(tools);
        counts.iter().for_each(|(path, count)| baseline.set(path, *count));
        baseline
    }

    #[test]
    fn growth_fails_and_the_rest_is_said() {
        let was = baseline(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)]);
        let now = baseline(&[("a", 105.0), ("b", 105.2), ("c", 94.0), ("e", 1.0)]);
        let said: Vec<String> = was.changes(&now, MOST).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "FAIL: b: was 100.0, is 105.2 instructions, +5.2 %",
                "NOTE: c: was 100.0, is 94.0 instructions, -6.0 %; `--bless` keeps it",
                "FAIL: d: was 100.0, is not counted any more; `--bless` forgets it",
                "FAIL: e: is 1.0, was not counted; `--bless` adds it",
            ]
        );
        let fails = was.changes(&now, MOST).iter().filter(|change| change.fails).count();
        assert_eq!(fails, 3);
        assert!(was.changes(&was, MOST).is_empty());
    }

    #[test]
    fn other_tools_have_another_limit_and_another_processor_none() {
        let was = baseline(&[]);
        assert_eq!(was.limit(&was.tools), Some(MOST));
        let newer = Tools { rustc: "1.96".into(), ..was.tools.clone() };
        assert_eq!(was.limit(&newer), Some(MOST_WITH_OTHER_TOOLS));
        let other = Tools { target: "aarch64".into(), ..was.tools.clone() };
        assert_eq!(was.limit(&other), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let was = baseline(&[("a", 1.25), ("b", 300.0)]);
        assert_eq!(Baseline::of_value(&was.value()), Some(was));
        assert_eq!(Baseline::of_value(&json!({})), None);
    }
}
