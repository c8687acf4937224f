//! [`copy_bidirectional`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::Instant;

use crate::error::{DeadlineInfo, Error, Kind, Phase};
use crate::io::copy::closing::Closing;
use crate::io::copy::options::CopyOptions;
use crate::io::copy::outcome::{Copied, FlowEnd};
use crate::io::copy::pipe::Pipe;
use crate::io::copy::watch::Watch;
use crate::io::scoped::Scoped;

/// Copies from `a` to `b` and from `b` to `a` at once, until both have ended. What a proxy does.
///
/// - **Half-close** is handed on: when one stream ends, everything it sent is written to the other, whose
///   writing side is then ended (`poll_close`, which is `shutdown(Write)` on a socket); the other direction
///   goes on, bounded by [`half_close_linger`](CopyOptions::half_close_linger). A response that follows the
///   end of the request arrives whole.
/// - **Both streams are closed** when it ends, however it ends, or is dropped: it owns them. None is left
///   in CLOSE_WAIT. Lend them (`&client`, `&server`) to keep them.
/// - If a receiver is gone, what it sent before is still delivered to the other side, whose own bytes are read and
///   discarded meanwhile; then the copy fails. If a sender fails, so does the copy, at once.
/// - Held in memory: what one stream has sent and the other not yet taken, at most
///   [`buffer`](CopyOptions::buffer) bytes each way. A sender is not read from until that is gone. A copy in
///   which nothing is in flight holds none.
/// - A poll moves at most 16 buffers each way, then it is the other tasks' turn.
///
/// Time that the streams themselves were given, as by
/// [`set_read_timeout`](crate::TcpStream::set_read_timeout), goes on counting for each of them alone.
///
/// # Errors
/// [`Error::copied`] says how much went each way, how each way ended, and what was read but not taken.
/// - A bound of `options`: `Timeout` in `Phase::Copy`; its
///   [description](DeadlineInfo::description) says which.
/// - The scope it waits in, as `Timeout` or `Cancelled`.
/// - A stream: its own error, in `Phase::Read` or `Phase::Write`.
///
/// To a peer, a stream that is closed after a failure looks as if it had ended. Where that would pass for the whole
/// of a message, lend the streams and reset them:
///
/// ```no_run
/// # async fn proxy(client: punctual_net::TcpStream, server: punctual_net::TcpStream) -> Result<(), punctual_net::Error> {
/// use std::time::Duration;
/// use punctual_net::io::{CopyOptions, copy_bidirectional};
///
/// let options = CopyOptions::new().names("client", "server").half_close_linger(Duration::from_secs(10));
/// let copied = copy_bidirectional(&client, &server, options).await;
/// if copied.is_err() {
///     client.set_linger(Some(Duration::ZERO))?;
///     server.set_linger(Some(Duration::ZERO))?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropped, it closes both streams; what had been read and not written is lost with it.
pub fn copy_bidirectional<A, B>(a: A, b: B, options: CopyOptions) -> CopyBidirectional<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let pipes = [(); 2].map(|()| Pipe::new(options.buffer, true));
    let watch = Watch::new(options, Instant::now());
    CopyBidirectional {
        streams: Some((a, b)),
        pipes,
        watch,
        state: State::New,
        scoped: Scoped::default(),
        failed: None,
    }
}

/// The future of a [`copy_bidirectional`].
#[must_use = "a copy does nothing unless it is awaited"]
pub struct CopyBidirectional<A, B> {
    /// Taken, and so closed, when it is over.
    streams: Option<(A, B)>,
    /// From `a` to `b`, and from `b` to `a`.
    pipes: [Pipe; 2],
    watch: Watch,
    state: State,
    scoped: Scoped,
    /// A receiver that failed while the other direction goes on.
    failed: Option<Error>,
}

/// From `a` to `b`.
const THERE: usize = 0;
/// From `b` to `a`.
const BACK: usize = 1;

enum State {
    New,
    Copying,
    Closing(Closing, Error),
}

impl<A, B> Future for CopyBidirectional<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Result<Copied, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((a, b)) = &mut this.streams else { panic!("a copy was polled after it had ended") };
        if let State::Closing(closing, _) = &mut this.state {
            let guard = closing.guard();
            // What is done for good manners does not outlive its scope.
            if closing.poll(cx, a, b).is_pending() && this.scoped.poll(cx, "copy", guard).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(this.end());
        }
        if matches!(this.state, State::New) {
            this.state = State::Copying;
            if let Err(failure) = Scoped::check() {
                this.failed = Some(Error::failed(Phase::Copy, failure).with_target(this.between()));
                return Poll::Ready(this.end());
            }
            if let Some(info) = this.watch.over_before_it_began() {
                this.failed = Some(this.timed_out(info));
                return Poll::Ready(this.end());
            }
        }
        let result = match this.poll_copying(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => return Poll::Ready(this.end()),
            Poll::Ready(Err(error)) => error,
        };
        let Some(within) = this.watch.options().close_within else {
            this.failed = Some(result);
            return Poll::Ready(this.end());
        };
        this.begin_closing(within, result);
        self.poll(cx)
    }
}

impl<A, B> CopyBidirectional<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_copying(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let before = [self.pipes[0].counts(), self.pipes[1].counts()];
        let guard = self.watch.guard();
        for direction in [THERE, BACK] {
            guard.poll(|| self.poll_pipe(cx, direction))?;
        }
        if self.pipes.iter().all(|pipe| !pipe.is_open()) {
            return Poll::Ready(self.failed.take().map_or(Ok(()), Err));
        }
        let after = [self.pipes[0].counts(), self.pipes[1].counts()];
        if after != before {
            self.watch.moved([0, 1].map(|n| after[n].taken - before[n].taken));
        }
        if let Poll::Ready(failure) = self.scoped.poll(cx, "copy", guard) {
            let ended = Error::failed(Phase::Copy, failure).with_target(self.between());
            return Poll::Ready(Err(self.failed.take().unwrap_or(ended)));
        }
        let Poll::Ready(info) = self.watch.poll(cx) else { return Poll::Pending };
        let late = self.timed_out(info);
        Poll::Ready(Err(self.failed.take().unwrap_or(late)))
    }

    /// Moves what can be moved one way. Fails with what ends the whole.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, direction: usize) -> Result<(), Error> {
        let Some((a, b)) = &mut self.streams else { return Ok(()) };
        let pipe = &mut self.pipes[direction];
        if pipe.is_open() {
            let poll = if direction == THERE { pipe.poll(cx, a, b) } else { pipe.poll(cx, b, a) };
            match poll {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {}
                // The receiver takes no more, but what it has sent is still to be had.
                Poll::Ready(Err(error)) if is_gone(pipe, &error) => {
                    self.failed.get_or_insert(error);
                }
                Poll::Ready(Err(error)) => return Err(self.failed.take().unwrap_or(error)),
            }
            self.watch.ended(direction);
        }
        if pipe.end == FlowEnd::WriteFailed {
            if direction == THERE { pipe.poll_discard(cx, a) } else { pipe.poll_discard(cx, b) }
        }
        Ok(())
    }

    fn timed_out(&self, info: DeadlineInfo) -> Error {
        Error::timeout(Phase::Copy, info).with_target(self.between())
    }

    fn between(&self) -> String {
        let [a, b] = &self.watch.options().names;
        format!("{a} and {b}")
    }

    fn begin_closing(&mut self, within: Duration, error: Error) {
        let heard = [self.pipes[0].sender_has_ended(), self.pipes[1].sender_has_ended()];
        self.state = State::Closing(Closing::new(heard, within), error);
    }

    /// Closes both streams and says what has been copied.
    fn end(&mut self) -> Result<Copied, Error> {
        let [a_to_b, b_to_a] = &mut self.pipes;
        let (a_to_b, b_to_a) = (a_to_b.finish(), b_to_a.finish());
        let copied = Copied { a_to_b, b_to_a, names: self.watch.options().names.clone() };
        let failed = match std::mem::replace(&mut self.state, State::Copying) {
            State::Closing(_, error) => Some(error),
            _ => self.failed.take(),
        };
        self.scoped.leave();
        drop(self.streams.take());
        match failed {
            None => Ok(copied),
            Some(error) => Err(error.with_copied(copied).tell()),
        }
    }
}

/// Whether a receiver takes no more by its own doing: it is closed, or reset.
fn is_gone(pipe: &Pipe, error: &Error) -> bool {
    pipe.end == FlowEnd::WriteFailed && matches!(error.kind(), Kind::Kernel(_))
}

impl<A, B> fmt::Debug for CopyBidirectional<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyBidirectional").field("pipes", &self.pipes).finish_non_exhaustive()
    }
}
