//! [`Ledger`]: what was begun, how each ended, and what must not have happened.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Error, Kind};
use punctual_tests_stress::rig::{now_ns, since};

type Counts = BTreeMap<String, BTreeMap<String, u64>>;

#[derive(Default)]
pub(crate) struct Ledger {
    begun: RefCell<BTreeMap<&'static str, u64>>,
    ended: RefCell<BTreeMap<(&'static str, &'static str), u64>>,
    violations: RefCell<Vec<String>>,
    violated: Cell<u64>,
}

/// So many are told of; more are counted.
const TOLD: usize = 20;

impl Ledger {
    /// An operation begins; it ends once.
    pub(crate) fn begin(self: &Rc<Ledger>, kind: &'static str) -> Running {
        *self.begun.borrow_mut().entry(kind).or_default() += 1;
        Running { ledger: self.clone(), kind, ended: false }
    }

    /// What was begun and has ended at once.
    pub(crate) fn count(self: &Rc<Ledger>, kind: &'static str, ending: &'static str) {
        self.begin(kind).end(ending);
    }

    pub(crate) fn violation(&self, what: String) {
        self.violated.set(self.violated.get() + 1);
        let mut violations = self.violations.borrow_mut();
        if violations.len() < TOLD {
            eprintln!("VIOLATION: {what}");
            violations.push(what);
        }
    }

    /// O1: a timeout of something armed after `armed_ns`, which had `bound`.
    pub(crate) fn timed_out(&self, who: &str, armed_ns: u64, bound: Duration, error: &Error) {
        let (now, passed) = (now_ns(), since(armed_ns));
        if passed < bound {
            self.violation(format!("early: {who} after {passed:?} of {bound:?}: {error}"));
        }
        match error.deadline() {
            None => self.violation(format!("{who}: a timeout without a deadline: {error}")),
            Some(deadline) if deadline.deadline().as_nanos() > now => {
                self.violation(format!("early: {who}, before its own deadline: {error}"));
            }
            Some(_) => {}
        }
    }

    /// By kind and ending; and what was begun and never ended, or ended more than once.
    pub(crate) fn into_parts(self) -> (Counts, Vec<String>) {
        let mut counts = Counts::new();
        for ((kind, ending), count) in self.ended.take() {
            counts.entry(kind.to_owned()).or_default().insert(ending.to_owned(), count);
        }
        let mut violations = self.violations.take();
        for (kind, begun) in self.begun.take() {
            let ended: u64 = counts.get(kind).map_or(0, |endings| endings.values().sum());
            if ended != begun {
                violations.push(format!("{kind}: {begun} were begun, and {ended} ended"));
            }
        }
        if self.violated.get() > TOLD as u64 {
            violations.push(format!("{} violations in all", self.violated.get()));
        }
        (counts, violations)
    }
}

/// An operation that has not ended.
pub(crate) struct Running {
    ledger: Rc<Ledger>,
    kind: &'static str,
    ended: bool,
}

impl Running {
    pub(crate) fn end(mut self, ending: &'static str) {
        self.close(ending);
    }

    fn close(&mut self, ending: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            self.ledger.violation(format!("{}: it ended twice", self.kind));
        }
        *self.ledger.ended.borrow_mut().entry((self.kind, ending)).or_default() += 1;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.close("dropped");
        }
    }
}

/// The name of how something ended.
pub(crate) fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Timeout => "timeout",
        Kind::Cancelled => "cancelled",
        Kind::Closed => "closed",
        Kind::Kernel(_) => "reset",
        Kind::UnexpectedEof => "end",
        Kind::Protocol => "protocol",
        _ => "other",
    }
}
