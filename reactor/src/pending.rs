//! [`Pending`]: what a turn has found and not yet given out.

use std::collections::VecDeque;
use std::panic::Location;

use crate::arena::Id;
use crate::event::Event;
use crate::waiters::Waiters;

/// What a turn has found and not yet given out.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) ready: VecDeque<Id>,
    /// Sources in memory that became ready since this turn began: they are given out in the next.
    pub(crate) told: Vec<Id>,
    pub(crate) firings: VecDeque<Dispatch>,
    /// Firings of sources whose readiness is still to be given out: that comes first.
    pub(crate) deferred: VecDeque<Dispatch>,
    pub(crate) messages_left: usize,
    /// More timers are due than may be fired at once.
    pub(crate) more_due: bool,
    pub(crate) fired: u64,
    pub(crate) fired_at_ns: u64,
    /// Where the call was made that was given out last.
    pub(crate) called_from: Option<&'static Location<'static>>,
    /// An event has been given to somebody of whom it is not known when he came back.
    pub(crate) handled: bool,
    /// Readiness given out since timers were last looked at.
    pub(crate) delivered: usize,
    /// Timers that came due during a long batch are being given out in its midst.
    pub(crate) interposing: bool,
}

/// An event, and which operations wait for it.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) event: Event,
    pub(crate) waiters: Waiters,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        !self.comes_before_timers() && self.told.is_empty() && !self.more_due
    }

    /// Whether something is to be given out before the timers that are due.
    pub(crate) fn comes_before_timers(&self) -> bool {
        !(self.ready.is_empty() && self.firings.is_empty() && self.deferred.is_empty())
    }

    pub(crate) fn begin_turn(&mut self, messages: usize) {
        self.messages_left = messages;
        self.delivered = 0;
    }

    pub(crate) fn push_ready(&mut self, id: Id) {
        self.ready.push_back(id);
    }
}
