//! [`chain`]: one reader after another.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

/// Reads all of `first`, then all of `second`: as what was read too far, and the stream it came from.
///
/// Cancel-safe as far as the two are: a read that is dropped has taken nothing from either.
pub fn chain<A: AsyncRead + Unpin, B: AsyncRead + Unpin>(first: A, second: B) -> Chain<A, B> {
    Chain { first, second, first_has_ended: false }
}

/// One reader after another; made by [`chain`].
#[derive(Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
    first_has_ended: bool,
}

impl<A, B> Chain<A, B> {
    /// Whether the first has been read to its end.
    #[must_use]
    pub fn is_in_second(&self) -> bool {
        self.first_has_ended
    }

    /// The two.
    #[must_use]
    pub fn get_ref(&self) -> (&A, &B) {
        (&self.first, &self.second)
    }

    /// The two, each where it has been read to.
    #[must_use]
    pub fn into_inner(self) -> (A, B) {
        (self.first, self.second)
    }
}

impl<A: AsyncRead + Unpin, B: AsyncRead + Unpin> AsyncRead for Chain<A, B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // An empty buffer does not tell an end from nothing.
        if !self.first_has_ended {
            let read = ready!(Pin::new(&mut self.first).poll_read(cx, buffer))?;
            if read > 0 || buffer.is_empty() {
                return Poll::Ready(Ok(read));
            }
            self.first_has_ended = true;
        }
        Pin::new(&mut self.second).poll_read(cx, buffer)
    }
}
