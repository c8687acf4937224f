//! The format of pprof.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use pprof::protos::{self, Message};

use crate::profile::Place;
use crate::profile::report::Profile;
use crate::profile::stacks::{Function, Key};

pub(crate) fn pprof(profile: &Profile) -> Vec<u8> {
    let mut tables = Tables::new();
    let period_ns = nanos(profile.period());
    let cpu = tables.value_type("cpu", "nanoseconds");
    let sample_type = vec![tables.value_type("samples", "count"), cpu.clone()];
    let mut sample = Vec::new();
    for (key, count) in &profile.stacks.counts {
        let functions = &profile.stacks.functions;
        let location_id = key.stack.iter().filter_map(|address| {
            tables.location(*address, functions.get(address).map(Vec::as_slice).unwrap_or_default())
        });
        let location_id = location_id.collect();
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        let value = vec![count, count.saturating_mul(period_ns)];
        sample.push(protos::Sample { location_id, value, label: labels(&mut tables, key) });
    }
    let began = profile.began().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    protos::Profile {
        sample_type,
        sample,
        time_nanos: nanos(began),
        duration_nanos: nanos(profile.duration()),
        period_type: Some(cpu),
        period: period_ns,
        mapping: vec![program(&mut tables)],
        location: tables.locations,
        function: tables.functions,
        string_table: tables.strings,
        ..protos::Profile::default()
    }
    .encode_to_vec()
}

/// The one mapping: everything is said to be in the program. Names have been looked up, so nobody needs more.
const PROGRAM: u64 = 1;

fn program(tables: &mut Tables) -> protos::Mapping {
    let path = std::env::current_exe().unwrap_or_default();
    protos::Mapping {
        id: PROGRAM,
        filename: tables.string(&path.to_string_lossy()),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
        ..protos::Mapping::default()
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn labels(tables: &mut Tables, key: &Key) -> Vec<protos::Label> {
    let mut labels = vec![tables.label("thread", &key.thread)];
    let place = match &key.context.place {
        Place::Outside => "outside",
        Place::Loop => "loop",
        Place::Main => "main",
        Place::Task(task) => {
            labels.push(tables.label("task", &task.to_string()));
            labels.push(tables.label("task_id", &format!("{:?}", task.id)));
            labels.push(tables.label("spawned_at", &task.spawned_at.to_string()));
            if let Some(span) = task.spawned_in {
                labels.push(tables.label("spawned_in", span));
            }
            "task"
        }
        _ => "others",
    };
    labels.push(tables.label("place", place));
    if !key.context.spans.is_empty() {
        labels.push(tables.label("span", &key.context.spans.join("/")));
    }
    labels
}

/// What samples refer to by number.
struct Tables {
    strings: Vec<String>,
    string_numbers: HashMap<String, i64>,
    functions: Vec<protos::Function>,
    function_numbers: HashMap<(String, String), u64>,
    locations: Vec<protos::Location>,
    location_numbers: HashMap<usize, u64>,
}

impl Tables {
    fn new() -> Tables {
        let mut tables = Tables {
            strings: Vec::new(),
            string_numbers: HashMap::new(),
            functions: Vec::new(),
            function_numbers: HashMap::new(),
            locations: Vec::new(),
            location_numbers: HashMap::new(),
        };
        // The format wants the first to be empty.
        tables.string("");
        tables
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(number) = self.string_numbers.get(text) {
            return *number;
        }
        let number = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.string_numbers.insert(text.to_owned(), number);
        number
    }

    fn value_type(&mut self, of: &str, unit: &str) -> protos::ValueType {
        protos::ValueType { ty: self.string(of), unit: self.string(unit) }
    }

    fn label(&mut self, key: &str, value: &str) -> protos::Label {
        protos::Label { key: self.string(key), str: self.string(value), ..protos::Label::default() }
    }

    fn function(&mut self, function: &Function) -> u64 {
        let known = (function.mangled.clone(), function.file.clone());
        if let Some(number) = self.function_numbers.get(&known) {
            return *number;
        }
        let id = self.functions.len() as u64 + 1;
        let entry = protos::Function {
            id,
            name: self.string(&function.name),
            system_name: self.string(&function.mangled),
            filename: self.string(&function.file),
            ..protos::Function::default()
        };
        self.functions.push(entry);
        self.function_numbers.insert(known, id);
        id
    }

    /// `None` where nothing is known of the address.
    fn location(&mut self, address: usize, functions: &[Function]) -> Option<u64> {
        if functions.is_empty() {
            return None;
        }
        if let Some(number) = self.location_numbers.get(&address) {
            return Some(*number);
        }
        let line = functions.iter().map(|function| protos::Line {
            function_id: self.function(function),
            line: i64::from(function.line),
        });
        let line = line.collect();
        let id = self.locations.len() as u64 + 1;
        let entry =
            protos::Location { id, address: address as u64, line, ..protos::Location::default() };
        self.locations.push(entry);
        self.location_numbers.insert(address, id);
        Some(id)
    }
}
