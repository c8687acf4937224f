//! `wheel`: the structure alone.

use punctual_benches::queues::turn::{BYTES, CANCEL, FIRING, INSERT, PAIR, REARM, WORST};
use punctual_benches::queues::{self, Named};

use crate::child::{tell, told};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Row, Subject, by_turns};

/// Whose figures are ours.
const OURS: &str = "punctual";

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let wanted = || queues::ALL.iter().filter(|queue| options.wants(queue.name));
    let mut rows = Vec::new();
    for &size in &options.timers {
        let of = |queue: &Named| Subject { peer: queue.name, variant: "", param: param(size) };
        let subjects = wanted().filter(|queue| size <= queue.most).map(of).collect();
        let turn = |subject: &Subject| told(subject, "wheel", size as u64);
        rows.extend(by_turns(subjects, options.rounds, turn)?);
    }
    let (targets, rounds) = (targets(&rows, &options.timers), options.rounds);
    Ok(Report { workload: "wheel", rounds, rows, targets, machine: String::new() })
}

fn param(size: usize) -> String {
    format!("{size} timers")
}

/// What a child does: all there is to do to so many timers, once.
pub(crate) fn child(name: &str, size: usize) -> Option<()> {
    let queue = queues::ALL.iter().find(|queue| queue.name == name)?;
    (queue.turn)(size).into_iter().for_each(|(name, value)| tell(name, value));
    Some(())
}

/// First what the structure was built to, then what it is going towards.
pub(crate) fn targets(rows: &[Row], sizes: &[usize]) -> Vec<Target> {
    let mut targets = Vec::new();
    let at = |size: usize| rows.iter().filter(move |row| row.subject.param == param(size));
    let ours = |size| at(size).find(|row| row.subject.peer == OURS);
    let median = |size, figure: &str| ours(size)?.median(figure);
    let of_best = |size, figure: &str, is_peer: fn(&str) -> bool| {
        let peers = at(size).filter(|row| row.subject.peer != OURS && is_peer(row.subject.peer));
        peers.filter_map(|row| ours(size)?.ratio(row, figure)).max_by(f64::total_cmp)
    };
    let mut say = |name: String, value, most| targets.extend(Target::most(name, value, most));
    say("insert+cancel ns, 1000000 timers".into(), median(1_000_000, PAIR), 25.0);
    for size in [100_000, 1_000_000] {
        let ratio = of_best(size, REARM, |_| true);
        say(format!("re-arm of the best peer's, {size} timers"), ratio, 1.0 / 1.5);
    }
    let is_wheel = |name: &str| !["BTreeMap", "BinaryHeap"].contains(&name);
    let ratio = of_best(1_000_000, FIRING, is_wheel);
    say("firing of the best wheel's, 1000000 timers".into(), ratio, 1.0);
    say("bytes/timer, 10000000 timers".into(), median(10_000_000, BYTES), 40.0);
    for &size in sizes {
        for (figure, most) in [(INSERT, 25.0), (CANCEL, 70.0), (REARM, 60.0)] {
            say(format!("{figure}, {size} timers"), median(size, figure), most);
        }
        // A minute of a thousand timers is mostly milliseconds in which none fires.
        if size >= 60_000 {
            say(format!("{FIRING}, {size} timers"), median(size, FIRING), 130.0);
        }
    }
    say("worst turn ms, 10000000 timers".into(), median(10_000_000, WORST), 0.3);
    targets
}
