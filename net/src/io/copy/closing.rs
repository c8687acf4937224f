//! [`Closing`]: an end in good order of a copy that has failed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::{Sleep, WaitGuard, sleep};

use crate::error::Phase;
use crate::io::copy::options::BUFFER;
use crate::io::scratch::Scratch;

/// Discards in one poll; then it is the others' turn.
const ROUNDS_MAX: usize = 16;

/// Ends both writing sides and discards what still comes, until both peers have ended too or the time is up.
pub(super) struct Closing {
    until: Sleep,
    guard: WaitGuard,
    sides: [Side; 2],
}

#[derive(Clone, Copy, Default)]
struct Side {
    /// Whether its writing side has been ended, or cannot be.
    told: bool,
    /// Whether everything it will send has been read, or cannot be.
    heard: bool,
}

impl Closing {
    pub(super) fn new(heard: [bool; 2], within: Duration) -> Closing {
        let guard = WaitGuard::new();
        let until = sleep(within).bounding(guard, Phase::Shutdown.as_str());
        Closing { until, guard, sides: heard.map(|heard| Side { told: false, heard }) }
    }

    /// As the audit knows it.
    pub(super) fn guard(&self) -> WaitGuard {
        self.guard
    }

    pub(super) fn poll<A, B>(&mut self, cx: &mut Context<'_>, a: &mut A, b: &mut B) -> Poll<()>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let [side_a, side_b] = &mut self.sides;
        let (ended_a, ended_b) = self.guard.poll(|| (side_a.poll(cx, a), side_b.poll(cx, b)));
        if ended_a.is_ready() && ended_b.is_ready() {
            return Poll::Ready(());
        }
        Pin::new(&mut self.until).poll(cx)
    }
}

impl Side {
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<()> {
        if !self.told {
            // One that cannot be told has gone already.
            self.told = Pin::new(&mut *stream).poll_close(cx).is_ready();
        }
        for _ in 0..ROUNDS_MAX {
            if self.heard {
                return if self.told { Poll::Ready(()) } else { Poll::Pending };
            }
            let mut scratch = Scratch::take(BUFFER);
            match Pin::new(&mut *stream).poll_read(cx, scratch.room()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(read) => self.heard = matches!(read, Ok(0) | Err(_)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
