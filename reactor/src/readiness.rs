//! [`Direction`] and [`Readiness`]: what a source can do, and for which side.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// One side of a source; each has its own readiness, deadline and waiting operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading, and accepting.
    Read,
    /// Writing, and connecting.
    Write,
}

impl Direction {
    pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

    #[inline]
    pub(crate) const fn side(self) -> usize {
        self as usize
    }
}

/// What the kernel said of a source; a set.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// A read may make progress.
    pub const READABLE: Readiness = Readiness(1);
    /// A write may make progress.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The peer has closed its writing side: what is still buffered can be read, then the end. Sticky.
    pub const READ_CLOSED: Readiness = Readiness(4);
    /// Nothing more can be written. Sticky.
    pub const WRITE_CLOSED: Readiness = Readiness(8);
    /// An error waits in the socket. Sticky.
    pub const ERROR: Readiness = Readiness(16);
    /// Urgent data has come.
    pub const PRIORITY: Readiness = Readiness(32);

    /// Whether any of `other` is in the set.
    #[must_use]
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether an operation in `direction` is worth a system call.
    #[must_use]
    pub const fn allows(self, direction: Direction) -> bool {
        self.intersects(Readiness::that_allow(direction))
    }

    /// Of which any makes an operation in `direction` worth a system call.
    pub(crate) const fn that_allow(direction: Direction) -> Readiness {
        match direction {
            Direction::Read => Readiness(1 | 4 | 16 | 32),
            Direction::Write => Readiness(2 | 8 | 16),
        }
    }

    /// Whether a short read proves that the socket is drained.
    pub(crate) const fn short_read_drains(self) -> bool {
        !self.intersects(Readiness(4 | 16 | 32))
    }

    /// Takes back what a `WouldBlock` in `direction` disproved; what is sticky stays.
    #[must_use]
    pub(crate) const fn without(self, direction: Direction) -> Readiness {
        Readiness(match direction {
            Direction::Read => self.0 & !(1 | 32),
            Direction::Write => self.0 & !2,
        })
    }

    #[inline]
    pub(crate) fn of(event: &mio::event::Event) -> Readiness {
        let (readable, writable) = (event.is_readable(), event.is_writable());
        let rare =
            event.is_read_closed() || event.is_write_closed() || event.is_error() || event.is_priority();
        let usual = Readiness(u8::from(readable) | u8::from(writable) << 1);
        if rare { usual | Readiness::rare_of(event) } else { usual }
    }

    #[cold]
    fn rare_of(event: &mio::event::Event) -> Readiness {
        Readiness(
            u8::from(event.is_read_closed()) << 2
                | u8::from(event.is_write_closed()) << 3
                | u8::from(event.is_error()) << 4
                | u8::from(event.is_priority()) << 5,
        )
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Readiness) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["readable", "writable", "read-closed", "write-closed", "error", "priority"];
        let set = names.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.debug_set().entries(set.map(|(_, name)| format_args!("{name}").to_string())).finish()
    }
}
