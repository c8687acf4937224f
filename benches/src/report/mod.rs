//! What is said of a measurement: a table, a document, a picture.

mod markdown;
mod picture;
#[cfg(test)]
mod shape;
mod table;

use serde_json::{Map, Value, json};

use crate::options::{Options, Workload};
use crate::rounds::Row;

/// A workload, measured.
pub(crate) struct Report {
    pub(crate) workload: &'static str,
    pub(crate) rounds: u16,
    /// On what.
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) targets: Vec<Target>,
}

/// What a figure, or a ratio of two, is to be at most.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) most: f64,
}

impl Target {
    /// Nothing if it was not measured.
    pub(crate) fn most(name: String, value: Option<f64>, most: f64) -> Option<Target> {
        Some(Target { name, value: value?, most })
    }

    pub(crate) fn is_met(&self) -> bool {
        self.value <= self.most
    }
}

/// Prints it, draws it, writes it where it was asked for. Whether all targets were met.
pub(crate) fn tell(report: &Report, options: &Options) -> Result<bool, String> {
    if options.json {
        println!("{:#}", document(report));
    } else if options.markdown {
        print!("{}", markdown::of(report));
    } else {
        print!("{}", table::of(report));
    }
    if let Some(path) = &options.into {
        markdown::write(report, path)?;
    }
    if let Some(path) = &options.svg {
        let path = match options.workload {
            Workload::All => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let (stem, kind) = name.rsplit_once('.').unwrap_or((&name, "svg"));
                path.with_file_name(format!("{stem}-{}.{kind}", report.workload))
            }
            _ => path.clone(),
        };
        picture::draw(report, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.targets.iter().all(Target::is_met))
}

/// `{"workload", "machine", "rounds", "rows": [{"peer", "variant", "param", …}], "ratios": {"<target>": number}}`
fn document(report: &Report) -> Value {
    let row = |row: &Row| {
        let subject = &row.subject;
        let mut object = Map::new();
        object.insert("peer".into(), subject.peer.into());
        object.insert("variant".into(), subject.variant.into());
        object.insert("param".into(), subject.param.clone().into());
        for name in row.names() {
            object.insert(name.into(), json!(row.median(name)));
        }
        Value::Object(object)
    };
    let ratios: Map<String, Value> =
        report.targets.iter().map(|target| (target.name.clone(), json!(target.value))).collect();
    json!({
        "workload": report.workload,
        "machine": report.machine,
        "rounds": report.rounds,
        "rows": report.rows.iter().map(row).collect::<Vec<_>>(),
        "ratios": ratios,
    })
}
