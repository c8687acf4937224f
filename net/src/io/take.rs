//! [`take`]: so many bytes and no more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use crate::error::{Error, Kind, Phase};

/// Reads at most `limit` bytes of `reader`, then ends. [`Take::limit_reached`] tells that end from one of the reader;
/// [`or_fail`](Take::or_fail) makes it an error.
///
/// Cancel-safe as far as `reader` is.
pub fn take<R: AsyncRead + Unpin>(reader: R, limit: u64) -> Take<R> {
    Take { reader, left: limit, fails: false, excess: None }
}

/// The first so many bytes of a reader; made by [`take`].
#[derive(Debug)]
pub struct Take<R> {
    reader: R,
    left: u64,
    fails: bool,
    /// The byte after the last one allowed, which was read to see whether there is one.
    excess: Option<u8>,
}

impl<R> Take<R> {
    /// Fails with [`Kind::LimitExceeded`] where the reader has more than it may, instead of ending there as if that
    /// were all. To know, it reads one byte more; [`into_inner`](Take::into_inner) gives that back.
    #[must_use]
    pub fn or_fail(self) -> Take<R> {
        Take { fails: true, ..self }
    }

    /// How many bytes may still be read.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.left
    }

    /// Allows `limit` bytes from here on.
    pub fn set_limit(&mut self, limit: u64) {
        self.left = limit;
    }

    /// Whether all that it may has been read: a read that says `Ok(0)` now says nothing of the reader, which may have
    /// more. Before that, `Ok(0)` is the reader's own end.
    #[must_use]
    pub fn limit_reached(&self) -> bool {
        self.left == 0
    }

    /// The reader.
    #[must_use]
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The reader, and the byte that was read of it beyond the limit, if one was.
    #[must_use]
    pub fn into_inner(self) -> (R, Option<u8>) {
        (self.reader, self.excess)
    }
}

impl<R: AsyncRead + Unpin> Take<R> {
    /// Nothing more is allowed: is there more?
    fn poll_excess(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut byte = [0];
        if self.excess.is_none() && ready!(Pin::new(&mut self.reader).poll_read(cx, &mut byte))? == 0 {
            return Poll::Ready(Ok(0));
        }
        self.excess.get_or_insert(byte[0]);
        Poll::Ready(Err(Error::new(Kind::LimitExceeded, Phase::Read).into()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Take<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 && !buffer.is_empty() {
            return if self.fails { self.poll_excess(cx) } else { Poll::Ready(Ok(0)) };
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if let Some(byte) = self.excess.filter(|_| room > 0) {
            // The limit was raised since.
            self.excess = None;
            self.left -= 1;
            buffer[0] = byte;
            return Poll::Ready(Ok(1));
        }
        let read = ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer[..room]))?;
        self.left = self.left.saturating_sub(read as u64);
        Poll::Ready(Ok(read))
    }
}
