//! [`Scratch`]: room to read into, of which a thread has one.

use std::cell::RefCell;
use std::io;

/// How much is read at once unless another size is asked for, in bytes. More than this does not stay between two reads.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    /// What is read lands here, so that a stream on which nothing is in flight holds no memory.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's room to `read`, which reads at most once and polls nobody.
#[cfg(feature = "hyper")]
pub(crate) fn lend<R>(room: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut read = Some(read);
    let lent = SCRATCH.try_with(|scratch| {
        let mut buffer = scratch.try_borrow_mut().ok()?;
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        read.take().map(|read| read(&mut buffer[..room]))
    });
    match (lent, read) {
        (Ok(Some(result)), _) => result,
        // The thread ends.
        (_, Some(read)) => read(&mut vec![0; room]),
        (_, None) => unreachable!("a closure that was taken has been called"),
    }
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
    pub(crate) fn take(room: usize) -> Scratch {
        let mut buffer = SCRATCH.try_with(RefCell::take).unwrap_or_default();
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
