//! What is between the two ends: the bytes on either way, and who is told of what.
//!
//! As with the kernel, an end is told on edges: its reader when bytes come where none were, its writer when there
//! is room where none was. To tell runs nobody's code, so nothing here is ever entered twice.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::rc::Rc;

use mio::{Interest, Registry, Token};
use punctual_reactor::{Readiness, SetReadiness, Source};

/// One end, as its registration owns it. Dropped, it is gone for the other.
pub struct End {
    link: Rc<Link>,
    this: usize,
}

struct Link {
    /// What each end has written and the other has not read.
    ways: [RefCell<Way>; 2],
    /// How each end is told that it is ready.
    tell: [OnceCell<SetReadiness>; 2],
}

struct Way {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Nothing more is written.
    ended: bool,
    /// Nothing more is read.
    refused: bool,
    /// An end has gone without having read all.
    reset: bool,
}

/// The two ends of a link whose ways hold at most `capacity` bytes each.
pub(super) fn pair(capacity: usize) -> (End, End) {
    let way = || {
        let bytes = VecDeque::new();
        RefCell::new(Way { bytes, capacity, ended: false, refused: false, reset: false })
    };
    let link = Rc::new(Link { ways: [way(), way()], tell: Default::default() });
    (End { link: link.clone(), this: 0 }, End { link, this: 1 })
}

impl End {
    fn other(&self) -> usize {
        1 - self.this
    }

    fn tell(&self, end: usize, readiness: Readiness) {
        if let Some(set_readiness) = self.link.tell[end].get() {
            // One that is closed has nobody to tell.
            let _ = set_readiness.set(readiness);
        }
    }

    pub(super) fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut way = self.link.ways[self.other()].borrow_mut();
        if way.bytes.is_empty() {
            return way.nothing_to_read();
        }
        let was_full = way.room() == 0;
        let mut read = 0;
        for buffer in buffers {
            let some = way.copy_front(buffer);
            way.bytes.drain(..some);
            read += some;
        }
        if was_full && read > 0 {
            self.tell(self.other(), Readiness::WRITABLE);
        }
        Ok(read)
    }

    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let way = self.link.ways[self.other()].borrow();
        if way.bytes.is_empty() {
            return way.nothing_to_read();
        }
        Ok(way.copy_front(buffer))
    }

    pub(super) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut way = self.link.ways[self.this].borrow_mut();
        way.may_write()?;
        let was_empty = way.bytes.is_empty();
        let mut written = 0;
        for buffer in buffers {
            let some = &buffer[..buffer.len().min(way.room())];
            way.bytes.extend(some);
            written += some.len();
        }
        if was_empty && written > 0 {
            self.tell(self.other(), Readiness::READABLE);
        }
        Ok(written)
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.link.ways[self.other()].borrow_mut().refused = true;
            self.tell(self.this, Readiness::READ_CLOSED);
            self.tell(self.other(), Readiness::WRITE_CLOSED);
        }
        if how != Shutdown::Read {
            self.link.ways[self.this].borrow_mut().ended = true;
            self.tell(self.this, Readiness::WRITE_CLOSED);
            self.tell(self.other(), Readiness::READ_CLOSED);
        }
    }

    pub(super) fn tell_through(&self, set_readiness: SetReadiness) {
        let _ = self.link.tell[self.this].set(set_readiness);
    }
}

impl Way {
    fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// Copies as much as fits of what was written first; returns how much that is.
    fn copy_front(&self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let (first, second) = buffer[..length].split_at_mut(length.min(front.len()));
        first.copy_from_slice(&front[..first.len()]);
        second.copy_from_slice(&back[..second.len()]);
        length
    }

    fn nothing_to_read(&self) -> io::Result<usize> {
        if self.reset {
            Err(io::Error::from_raw_os_error(libc::ECONNRESET))
        } else if self.ended || self.refused {
            Ok(0)
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    fn may_write(&self) -> io::Result<()> {
        if self.reset {
            Err(io::Error::from_raw_os_error(libc::ECONNRESET))
        } else if self.ended || self.refused {
            Err(io::Error::from_raw_os_error(libc::EPIPE))
        } else if self.room() == 0 {
            Err(ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let unread = std::mem::take(&mut self.link.ways[self.other()].borrow_mut().bytes);
        for way in &self.link.ways {
            way.borrow_mut().reset |= !unread.is_empty();
        }
        self.shutdown(Shutdown::Both);
    }
}

/// The poll knows nothing of it.
impl Source for End {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}
