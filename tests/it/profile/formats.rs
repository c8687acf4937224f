//! What is made of the samples.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use punctual::profile::{Profile, SpanLayer};
use punctual::{spawn, yield_now};
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::{alone, burn_otherwise, enough, profiled};
use crate::support::US;

/// Of a task in a span whose name and fields are not nice.
fn sample() -> (Profile, u32) {
    let subscriber = tracing_subscriber::registry().with(SpanLayer::new());
    tracing::subscriber::set_global_default(subscriber).expect("the first of this process");
    profiled(async {
        let span = info_span!("request", id = 7, path = "/<a>&\"b\";c\nd");
        let done = enough();
        let line = line!() + 1;
        let task = spawn(
            async move {
                let used = Cell::new(Duration::ZERO);
                while !done() {
                    burn_otherwise(500 * US, &used);
                    yield_now().await;
                }
            }
            .instrument(span),
        );
        task.await.expect("it ends");
        line
    })
}

#[test]
fn the_flame_graph_is_xml_and_has_the_task_and_the_span_below_the_stack() {
    alone("formats::the_flame_graph_is_xml_and_has_the_task_and_the_span_below_the_stack", || {
        let (profile, line) = sample();
        let svg = String::from_utf8(profile.flamegraph().expect("drawn")).expect("UTF-8");
        let titles = xml_titles(&svg);
        let shown = |wanted: &str| titles.iter().any(|title| title.starts_with(wanted));
        let task = format!("task tests/it/profile/formats.rs:{line}");
        assert!(shown(&task), "no {task}: {titles:#?}");
        assert!(shown("request{id=7 path=/<a>&\"b\",c d} ("), "{titles:#?}");
        assert!(titles.iter().any(|title| title.contains("burn_otherwise")), "{titles:#?}");
        assert!(!titles.iter().any(|title| title.contains("perf_signal_handler")), "{titles:#?}");
        // Of the sampler, only what a poll does for it may be seen: to look whether it was sampled is work like any other.
        let of_polls = ["::signals (", "::take_label (", "::take_label::"];
        let sampler = titles.iter().find(|title| {
            title.contains("sys::profile::") && !of_polls.iter().any(|name| title.contains(name))
        });
        assert_eq!(sampler, None, "{titles:#?}");
    });
}

#[test]
fn a_profile_of_nothing_is_one_too() {
    alone("formats::a_profile_of_nothing_is_one_too", || {
        let profile = punctual::Runtime::new().expect("a runtime").block_on(async {
            let slow = punctual::profile::Profiler::new().frequency(1);
            slow.start().await.expect("the only one").finish().await.expect("a profile")
        });
        assert!(profile.samples() <= 1, "{profile:?}");
        xml_titles(&String::from_utf8(profile.flamegraph().expect("drawn")).expect("UTF-8"));
        assert_eq!(Decoded::read(&profile.to_pprof()).samples.len() as u64, profile.samples());
    });
}

#[test]
fn the_pprof_format_decodes_and_carries_the_labels() {
    alone("formats::the_pprof_format_decodes_and_carries_the_labels", || {
        let (profile, line) = sample();
        let bytes = profile.to_pprof();
        if let Ok(path) = std::env::var("PUNCTUAL_PROFILE_OUT") {
            std::fs::write(path, &bytes).expect("written");
        }
        let decoded = Decoded::read(&bytes);
        assert_eq!(decoded.types, ["samples count", "cpu nanoseconds"]);
        let counts: i64 = decoded.samples.iter().map(|sample| sample.values[0]).sum();
        assert_eq!(counts as u64, profile.samples());
        let period = profile.period().as_nanos() as i64;
        assert!(decoded.samples.iter().all(|sample| sample.values[1] == sample.values[0] * period));
        let of_task = decoded.samples.iter().filter(|sample| {
            let label = |key: &str| sample.labels.get(key).map(String::as_str);
            label("spawned_at")
                .is_some_and(|at| at.starts_with(&format!("tests/it/profile/formats.rs:{line}:")))
                && label("task") == label("spawned_at")
                && label("task_id").is_some_and(|id| !id.is_empty())
                && label("place") == Some("task")
                && label("span") == Some("request{id=7 path=/<a>&\"b\";c d}")
                && label("thread").is_some_and(|thread| !thread.is_empty())
        });
        let of_task: Vec<_> = of_task.collect();
        let count: i64 = of_task.iter().map(|sample| sample.values[0]).sum();
        assert!(
            count * 2 > counts,
            "{count} of {counts} samples are of the task: {:#?}",
            decoded.samples
        );
        for sample in of_task {
            // The function interrupted comes first, and the thread's own last.
            let at = |name: &str| sample.stack.iter().position(|function| function.contains(name));
            let (Some(inner), Some(outer)) = (at("burn_otherwise"), at("block_on")) else {
                // One sample may have been taken at the edge of the work.
                continue;
            };
            assert!(inner < outer, "{:#?}", sample.stack);
        }
    });
}

/// The texts of the `title`s of a document which is held to be well-formed: tags that match, quoted attributes, known entities.
fn xml_titles(text: &str) -> Vec<String> {
    let (mut rest, mut open, mut titles) = (text, Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        let before = unescape(&rest[..at]);
        if open.last() == Some(&"title") {
            titles.push(before);
        }
        rest = &rest[at..];
        let end = |mark: &str| {
            rest.find(mark).unwrap_or_else(|| panic!("no {mark} after {rest:.60}")) + mark.len()
        };
        if rest.starts_with("<![CDATA[") {
            rest = &rest[end("]]>")..];
            continue;
        }
        if rest.starts_with("<!--") {
            rest = &rest[end("-->")..];
            continue;
        }
        let tag = &rest[1..end(">") - 1];
        rest = &rest[end(">")..];
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "tags that do not match");
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap_or_default();
        assert!(tag.matches('"').count().is_multiple_of(2), "a quote that does not end: {tag}");
        unescape(tag);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    assert!(text.contains("<svg "), "no picture");
    titles
}

fn unescape(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';').unwrap_or_else(|| panic!("a bare &: {text}"));
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" | "#39" => '\'',
            other => panic!("an unknown entity: {other}"),
        });
        plain.push_str(rest);
    }
    plain
}

#[derive(Debug)]
struct Sample {
    values: Vec<i64>,
    labels: BTreeMap<String, String>,
    stack: Vec<String>,
}

/// A decoder of `profile.proto` that shares nothing with the encoder.
struct Decoded {
    types: Vec<String>,
    samples: Vec<Sample>,
}

/// One field of a protobuf message: its number, and a number or bytes.
type Field<'a> = (u64, u64, &'a [u8]);

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a number that ends");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        match key & 7 {
            0 => fields.push((key >> 3, varint(&mut bytes), &[][..])),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                fields.push((key >> 3, 0, value));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    fields
}

fn numbers(message: &[Field<'_>], field: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for (_, number, packed) in message.iter().filter(|(number, ..)| *number == field) {
        let mut packed = *packed;
        if packed.is_empty() {
            all.push(*number);
        }
        while !packed.is_empty() {
            all.push(varint(&mut packed));
        }
    }
    all
}

fn number(message: &[Field<'_>], field: u64) -> u64 {
    numbers(message, field).first().copied().unwrap_or(0)
}

impl Decoded {
    fn read(bytes: &[u8]) -> Decoded {
        let profile = fields(bytes);
        let all = |wanted: u64| {
            profile.iter().filter(move |(field, ..)| *field == wanted).map(|(_, _, bytes)| *bytes)
        };
        let strings: Vec<&str> =
            all(6).map(|bytes| std::str::from_utf8(bytes).expect("UTF-8")).collect();
        assert_eq!(strings.first(), Some(&""), "the first string is to be empty");
        assert_eq!(strings.iter().collect::<HashSet<_>>().len(), strings.len(), "a string twice");
        let string = |message: &[Field<'_>], field| strings[number(message, field) as usize].to_owned();
        let functions: BTreeMap<u64, String> =
            all(5).map(fields).map(|function| (number(&function, 1), string(&function, 2))).collect();
        let locations: BTreeMap<u64, Vec<String>> = all(4)
            .map(fields)
            .map(|location| {
                let lines =
                    location.iter().filter(|(field, ..)| *field == 4).map(|(_, _, line)| fields(line));
                (number(&location, 1), lines.map(|line| functions[&number(&line, 1)].clone()).collect())
            })
            .collect();
        assert!(!functions.contains_key(&0) && !locations.contains_key(&0), "zero is no id");
        let samples = all(2).map(fields).map(|sample| {
            let labels =
                sample.iter().filter(|(field, ..)| *field == 3).map(|(_, _, label)| fields(label));
            Sample {
                values: numbers(&sample, 2).into_iter().map(|value| value as i64).collect(),
                labels: labels.map(|label| (string(&label, 1), string(&label, 2))).collect(),
                stack: numbers(&sample, 1).iter().flat_map(|id| locations[id].clone()).collect(),
            }
        });
        let types = all(1).map(fields).map(|kind| format!("{} {}", string(&kind, 1), string(&kind, 2)));
        Decoded { types: types.collect(), samples: samples.collect() }
    }
}
