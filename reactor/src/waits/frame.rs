//! [`Frame`]: what encloses a wait, as the [`timeout`](crate::timeout) in which it is polled.
//!
//! ```text
//!  timeout 1 s ── polls ─▶ future ── polls ─▶ timeout 20 ms ── polls ─▶ read ── waits, and notes its frame: 2
//!   frame 1                                    frame 2, in 1
//! ```
//!
//! Frames are numbers that are never used again. What is polled notes the innermost of them when it begins to wait,
//! and so does each frame that around it. Which of them still stands, and until when, is found out by whoever asks
//! what waits: a frame that was dropped is found nowhere, so it bounds nothing that was kept.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::source::NEVER;

/// Names one frame for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Frame(u64);

impl Frame {
    pub(crate) const NONE: Frame = Frame(0);

    pub(crate) fn is_some(self) -> bool {
        self != Frame::NONE
    }
}

/// The frame in which the loop polls now, the earliest deadline of those it is in, and how many there have been.
#[derive(Debug)]
pub(crate) struct CurrentFrame {
    current: Cell<Frame>,
    until_ns: Cell<u64>,
    made: Cell<u64>,
}

impl Default for CurrentFrame {
    fn default() -> CurrentFrame {
        CurrentFrame { current: Cell::default(), until_ns: Cell::new(NEVER), made: Cell::default() }
    }
}

impl CurrentFrame {
    #[inline]
    pub(crate) fn get(&self) -> Frame {
        self.current.get()
    }

    /// A new one; nothing is in it yet.
    #[inline]
    pub(crate) fn make(&self) -> Frame {
        let number = self.made.get() + 1;
        self.made.set(number);
        Frame(number)
    }

    /// By when the frames end what is polled now.
    #[inline]
    pub(crate) fn until_ns(&self) -> u64 {
        self.until_ns.get()
    }

    /// Leaves all frames until what is returned is dropped, also by a panic.
    pub(crate) fn leave(&self) -> InFrame<'_> {
        self.enter(Frame::NONE, NEVER)
    }

    /// Makes `frame`, which has no deadline here, the current one until what is returned is dropped.
    pub(crate) fn go_in(&self, frame: Frame) -> InFrame<'_> {
        self.enter(frame, self.until_ns.get())
    }

    #[inline]
    fn enter(&self, frame: Frame, until_ns: u64) -> InFrame<'_> {
        let before = (self.current.replace(frame), self.until_ns.replace(until_ns));
        InFrame { of: self, before }
    }

    /// Polls `future` in `frame`, which has no deadline of its own.
    #[inline]
    pub(crate) fn poll<F: Future>(
        &self,
        frame: Frame,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.poll_until(NEVER, frame, future, cx)
    }

    /// Polls `future` in `frame`, which ends it at `until_ns`.
    #[inline]
    pub(crate) fn poll_until<F: Future>(
        &self,
        until_ns: u64,
        frame: Frame,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let _entered = self.enter(frame, until_ns.min(self.until_ns.get()));
        future.poll(cx)
    }
}

#[must_use]
pub(crate) struct InFrame<'a> {
    of: &'a CurrentFrame,
    before: (Frame, u64),
}

impl Drop for InFrame<'_> {
    #[inline]
    fn drop(&mut self) {
        self.of.current.set(self.before.0);
        self.of.until_ns.set(self.before.1);
    }
}
