//! [`Scratch`]: room to read into, of which a thread has one.

use std::cell::RefCell;
use std::io;
use std::mem::take;

/// How much is read at once unless another size is asked for, in bytes. More than this does not stay between two reads.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    /// What is read lands here, so that a stream on which nothing is in flight holds no memory.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's room to `read`, which reads at most once and polls nobody: `room` bytes, of which there are no more
/// than [`SIZE`].
#[cfg(feature = "hyper")]
pub(crate) fn lend<R>(room: usize, mut read: impl FnMut(&mut [u8]) -> R) -> R {
    // The thread ends, or this is a read within a read.
    lend_if_there(room, &mut read).unwrap_or_else(|| read(&mut vec![0; room]))
}

/// The same if that room is there, as it is unless the thread ends or this is a read within a read.
#[cfg(feature = "hyper")]
#[inline]
pub(crate) fn lend_if_there<R>(room: usize, read: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
    let lent = SCRATCH.try_with(|scratch| {
        let mut buffer = scratch.try_borrow_mut().ok()?;
        if buffer.len() < room {
            grow(&mut buffer, room);
        }
        buffer.get_mut(..room).map(read)
    });
    lent.ok().flatten()
}

#[cfg(feature = "hyper")]
#[cold]
fn grow(buffer: &mut Vec<u8>, room: usize) {
    buffer.resize(room, 0);
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
        let kept =
            SCRATCH.try_with(|scratch| scratch.try_borrow_mut().ok().map(|mut kept| take(&mut *kept)));
        let mut buffer = kept.ok().flatten().unwrap_or_default();
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
        let buffer = take(&mut self.buffer);
        // One that was asked to be larger than usual does not stay.
        if buffer.len() <= SIZE {
            let _ = SCRATCH.try_with(|scratch| scratch.try_borrow_mut().map(|mut kept| *kept = buffer));
        }
    }
}
