//! [`Warnings`]: saying that the loop was held up, and by whom, but not too often.

use tracing::Metadata;

use crate::blame::culprit::Culprit;
use crate::one_line::OneLine;

/// How often the loop warns of having been held up, at most.
const WARN_EVERY_NS: u64 = 1_000_000_000;

/// What is to be said when nothing is borrowed: whoever listens is anybody's code.
#[derive(Debug)]
#[must_use]
pub(crate) struct Warning {
    culprit: Culprit,
    suppressed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// The next to be said: the worst since the last.
    next: Option<Culprit>,
    /// What was said last, and when.
    said: Option<(Culprit, u64)>,
    /// How many culprits were not told of since.
    suppressed: u64,
}

impl Warnings {
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// To be said soon.
    pub(crate) fn push(&mut self, culprit: Culprit) {
        // It has been told of: what is new is only that its turn is over as well.
        if self.said.as_ref().is_some_and(|(said, _)| said.is(&culprit)) {
            return;
        }
        match &mut self.next {
            next @ None => *next = Some(culprit),
            Some(next) if next.is(&culprit) => next.merge(&culprit),
            Some(next) => {
                self.suppressed += 1;
                // What made something late is told of before what did not.
                if (culprit.late_firings > 0, culprit.held_ns) > (next.late_firings > 0, next.held_ns) {
                    *next = culprit;
                }
            }
        }
    }

    pub(crate) fn take(&mut self, now_ns: u64) -> Option<Warning> {
        let culprit = self.next.take()?;
        if self.said.as_ref().is_some_and(|(_, at_ns)| now_ns < at_ns.saturating_add(WARN_EVERY_NS)) {
            self.suppressed += 1;
            return None;
        }
        self.said = Some((culprit.clone(), now_ns));
        Some(Warning { culprit, suppressed: std::mem::take(&mut self.suppressed) })
    }
}

impl Warning {
    /// Says it. Not while the reactor is borrowed.
    #[cold]
    pub(crate) fn say(self) {
        let Warning { culprit, suppressed } = self;
        let name = culprit.name().map(|name| OneLine(name).to_string());
        tracing::warn!(
            culprit = culprit.kind().as_str(),
            task = name.as_deref(),
            location = culprit.location().map(tracing::field::display),
            span = culprit.span().map(Metadata::name),
            held_ms = milliseconds(culprit.held_ns),
            ran_ms = culprit.ran().map(|ran| milliseconds(ran.as_nanos() as u64)),
            turn = culprit.turn,
            late_firings = culprit.late_firings,
            late_ms = milliseconds(culprit.lateness_ns),
            suppressed,
            "the loop was held up: {culprit}"
        );
    }
}

fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
