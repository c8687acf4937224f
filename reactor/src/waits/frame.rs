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

/// Names one frame for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Frame(u64);

impl Frame {
    pub(crate) const NONE: Frame = Frame(0);

    pub(crate) fn is_some(self) -> bool {
        self != Frame::NONE
    }
}

/// The frame in which the loop polls now, and how many there have been.
#[derive(Debug, Default)]
pub(crate) struct CurrentFrame {
    current: Cell<Frame>,
    made: Cell<u64>,
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

    /// Makes `frame` the current one until what is returned is dropped, also by a panic.
    #[inline]
    pub(crate) fn enter(&self, frame: Frame) -> InFrame<'_> {
        InFrame { current: &self.current, before: self.current.replace(frame) }
    }

    /// Polls `future` in `frame`.
    #[inline]
    pub(crate) fn poll<F: Future>(
        &self,
        frame: Frame,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let _entered = self.enter(frame);
        future.poll(cx)
    }
}

#[must_use]
pub(crate) struct InFrame<'a> {
    current: &'a Cell<Frame>,
    before: Frame,
}

impl Drop for InFrame<'_> {
    #[inline]
    fn drop(&mut self) {
        self.current.set(self.before);
    }
}
