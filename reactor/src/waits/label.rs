//! What the audit calls something that waits.

use std::panic::Location;

use crate::waiters::Note;
use crate::waits::{Frame, Subject};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) what: &'static str,
    /// Whether it may well wait for ever.
    pub(crate) idle: bool,
}

impl Label {
    /// Of what nobody has named.
    pub(crate) const UNNAMED: &'static str = "wait";

    /// Of what the runtime does not know.
    pub(crate) const UNKNOWN: &'static str = "unknown";

    pub(crate) const fn new(what: &'static str) -> Label {
        Label { what, idle: false }
    }

    pub(crate) const fn idle(what: &'static str) -> Label {
        Label { what, idle: true }
    }
}

/// What the audit says of a timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerLabel {
    pub(crate) what: &'static str,
    /// The frame that it is the end of, if of one.
    pub(crate) frame: Frame,
    pub(crate) set_at: Option<&'static Location<'static>>,
}

impl TimerLabel {
    /// Of a guard that has no name of its own.
    pub(crate) const UNNAMED: &'static str = "timeout";

    pub(crate) const SLEEP: TimerLabel = TimerLabel { what: "sleep", frame: Frame::NONE, set_at: None };
}

/// Something that waits and is no operation on a source. It is the frame of what is polled in it.
#[derive(Clone, Debug)]
pub(crate) struct OtherWait {
    pub(crate) label: Label,
    pub(crate) subject: Option<Subject>,
    pub(crate) frame: Frame,
    pub(crate) note: Note,
}
