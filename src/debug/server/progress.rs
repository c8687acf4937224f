//! [`Progress`]: where a connection is in its requests, and by when it must have got further.
//!
//! ```text
//!  accept ──▶ Header ──────▶ Answer ────────▶ Flush ─────▶ Idle ──▶ Header ──▶ …
//!             5 s in all     30 s in all, the answer       15 s     first byte
//!             no matter      also in Flush    handed on
//!             what drips
//! ```

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use punctual_net::TcpStream;
use punctual_reactor::Instant;

use super::site::Site;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Header,
    Answer,
    /// hyper has all of the answer, the kernel not yet.
    Flush,
    Idle,
}

/// Shared by what sees bytes come and go, what answers, and what watches the time.
pub(super) struct Progress {
    stage: Cell<Stage>,
    by: Cell<Instant>,
    /// Once the endpoint is being stopped; no stage that is entered then has more time.
    last: Cell<Option<Instant>>,
    stream: Rc<TcpStream>,
    site: Rc<Site>,
}

impl Progress {
    pub(super) fn new(stream: &Rc<TcpStream>, site: &Rc<Site>) -> Rc<Progress> {
        let (stage, by) = (Cell::new(Stage::Header), Cell::new(Instant::FAR_FUTURE));
        let last = Cell::new(None);
        let progress = Progress { stage, by, last, stream: stream.clone(), site: site.clone() };
        progress.enter(Stage::Header, site.limits.header);
        Rc::new(progress)
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.by.get()
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.last.get().is_some()
    }

    fn enter(&self, stage: Stage, within: Duration) {
        self.stage.set(stage);
        self.must_end_by(Instant::now() + within);
    }

    /// hyper's read, which nearly always waits, has a deadline too, so that the audit knows it as bounded. It is behind the
    /// one that counts, after which the client may still be told.
    fn must_end_by(&self, deadline: Instant) {
        let deadline = self.last.get().map_or(deadline, |last| last.min(deadline));
        self.by.set(deadline);
        // One that is closed has ended.
        let _ = self.stream.set_read_deadline(Some(deadline + self.site.limits.farewell));
    }

    /// The headers are complete.
    pub(super) fn answering(&self) {
        self.enter(Stage::Answer, self.site.limits.answer);
    }

    /// The answer is to take so much longer, because it was asked to.
    pub(super) fn allow(&self, more: Duration) {
        self.must_end_by(self.by.get() + more);
    }

    /// The endpoint is being stopped: nobody is waited for longer than this.
    pub(super) fn hurry(&self) {
        self.last.set(Some(Instant::now() + self.site.limits.farewell));
        self.must_end_by(self.by.get());
    }

    fn received(&self) {
        if self.stage() == Stage::Idle {
            self.enter(Stage::Header, self.site.limits.header);
        }
    }

    fn answered(&self) {
        if self.stage() == Stage::Answer {
            self.stage.set(Stage::Flush);
        }
    }

    fn flushed(&self) {
        if self.stage() == Stage::Flush {
            self.enter(Stage::Idle, self.site.limits.idle);
        }
    }
}

/// The connection as hyper has it.
pub(super) struct Watched {
    stream: Rc<TcpStream>,
    progress: Rc<Progress>,
}

impl Watched {
    pub(super) fn new(stream: &Rc<TcpStream>, progress: &Rc<Progress>) -> Watched {
        Watched { stream: stream.clone(), progress: progress.clone() }
    }

    fn io(&self) -> punctual_net::hyper::Io<&TcpStream> {
        punctual_net::hyper::Io::new(&*self.stream)
    }
}

impl Read for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io()).poll_read(cx, cursor));
        self.progress.received();
        Poll::Ready(read)
    }
}

impl Write for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io()).poll_write(cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io()).poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io()).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io()).poll_write_vectored(cx, buffers)
    }
}

/// The body of an answer. hyper drops it when it has all of it.
pub(super) struct Content {
    bytes: Bytes,
    progress: Rc<Progress>,
}

impl Content {
    pub(super) fn new(bytes: Bytes, progress: &Rc<Progress>) -> Content {
        Content { bytes, progress: progress.clone() }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.progress.answered();
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
