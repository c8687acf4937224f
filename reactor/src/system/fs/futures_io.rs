//! The I/O traits of the `futures` ecosystem for a [`File`].

use std::future::Future;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use crate::failure::Failure;
use crate::system::fs::file::{CHUNK, File, moved};
use crate::system::fs::inner::Effect;

type Operation<T> = Pin<Box<dyn Future<Output = Result<T, Failure>>>>;

/// What the poll-based interface of a file is in the midst of. Another operation than the one that was begun means that
/// it was given up, and drops it.
pub(super) enum Polled {
    Idle,
    Reading(Operation<Vec<u8>>),
    Writing(Operation<usize>, Arc<[u8]>),
    /// Asks for the length, to seek from it by that much.
    Seeking(Operation<u64>, i64),
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if !matches!(self.polled, Polled::Reading(_)) {
            // First, so that a write that was given up is waited for.
            self.polled = Polled::Idle;
            let read = self.inner.clone().read_at(self.position, buffer.len());
            self.polled = Polled::Reading(Box::pin(read));
        }
        let Polled::Reading(read) = &mut self.polled else { return Poll::Pending };
        let read = ready!(read.as_mut().poll(cx));
        self.polled = Polled::Idle;
        let read = read?;
        // Whoever polls now may have less room than whoever began; the rest is read again.
        let taken = read.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&read[..taken]);
        self.position += taken as u64;
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for File {
    /// Ready when it is written: there is no buffer here, and no error that comes later.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = &bytes[..bytes.len().min(CHUNK)];
        if !matches!(&self.polled, Polled::Writing(_, begun) if begun[..] == *bytes) {
            self.polled = Polled::Idle;
            let bytes: Arc<[u8]> = bytes.into();
            let write = self.inner.clone().write_at(self.position, bytes.clone());
            self.polled = Polled::Writing(Box::pin(write), bytes);
        }
        let Polled::Writing(write, _) = &mut self.polled else { return Poll::Pending };
        let written = ready!(write.as_mut().poll(cx));
        self.polled = Polled::Idle;
        let written = written?;
        self.position += written as u64;
        Poll::Ready(Ok(written))
    }

    /// What was written is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the file is closed when it is dropped.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for File {
    fn poll_seek(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        let by = match to {
            SeekFrom::Start(at) => {
                self.polled = Polled::Idle;
                self.position = moved(at, 0)?;
                return Poll::Ready(Ok(self.position));
            }
            SeekFrom::Current(by) => {
                self.polled = Polled::Idle;
                self.position = moved(self.position, by)?;
                return Poll::Ready(Ok(self.position));
            }
            SeekFrom::End(by) => by,
        };
        if !matches!(self.polled, Polled::Seeking(_, begun) if begun == by) {
            self.polled = Polled::Idle;
            let length = self.inner.clone().run(Effect::None, |file| Ok(file.metadata()?.len()));
            self.polled = Polled::Seeking(Box::pin(length), by);
        }
        let Polled::Seeking(length, _) = &mut self.polled else { return Poll::Pending };
        let length = ready!(length.as_mut().poll(cx));
        self.polled = Polled::Idle;
        self.position = moved(length?, by)?;
        Poll::Ready(Ok(self.position))
    }
}
