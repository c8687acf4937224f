//! [`Scratch`]: room to read into, of which a thread has one.

use std::cell::Cell;
use std::io;

/// How much is read at once unless another size is asked for, in bytes. More than this does not stay between two reads.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    /// What is read lands here, so that a stream on which nothing is in flight holds no memory.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's room to `read`, which reads at most once and polls nobody.
#[cfg(feature = "hyper")]
#[inline]
pub(crate) fn lend<R>(room: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = Scratch::take(room);
    read(scratch.room())
}

/// A stream that says it moved more than there was: an `impl` that is wrong, and no reason to panic.
pub(crate) fn liar() -> io::Error {
    io::Error::other("a stream says that it moved more bytes than it was given")
}

/// Room to read into, this thread's own; given back when dropped. What is polled within another's read has
/// one of its own.
pub(crate) struct Scratch {
    buffer: Vec<u8>,
    room: usize,
}

impl Scratch {
    #[inline]
    pub(crate) fn take(room: usize) -> Scratch {
        let mut buffer = SCRATCH.try_with(Cell::take).unwrap_or_default();
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        Scratch { buffer, room }
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.room]
    }

    /// The first `bytes` of it.
    pub(crate) fn filled(&self, bytes: usize) -> io::Result<&[u8]> {
        self.buffer[..self.room].get(..bytes).ok_or_else(liar)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // One that was asked to be larger than usual does not stay.
        if buffer.len() <= SIZE {
            let before = SCRATCH.try_with(|scratch| scratch.replace(buffer));
            drop(before);
        }
    }
}
