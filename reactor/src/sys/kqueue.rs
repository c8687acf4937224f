//! Systems without timerfd: the poll's own timeout is the alarm.
//!
//! mio passes kqueue a timespec, which is as fine as a timer of its own. `EVFILT_TIMER` is not used: its
//! default coalescing adds 50–150 ms.

use std::io;
#[cfg(feature = "process")]
use std::os::fd::OwnedFd;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::blame::ThreadTime;

#[path = "kqueue/messages.rs"]
pub(super) mod messages;

pub(crate) const BOOTTIME: Option<libc::clockid_t> = None;

pub(crate) const PRIORITY: Option<mio::Interest> = None;

/// Cannot be made here.
#[derive(Debug)]
pub(crate) enum TimerFd {}

impl TimerFd {
    pub(crate) fn new(_clock: libc::clockid_t) -> io::Result<TimerFd> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no timerfd"))
    }

    pub(crate) fn arm(&self, _at_ns: u64) -> io::Result<()> {
        match *self {}
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        match *self {}
    }
}

/// Not read here: what these systems tell, they tell in other words.
pub(crate) fn tcp_info(_socket: RawFd, _info: &mut [u8]) -> io::Result<usize> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "TCP_INFO is not read on this system"))
}

pub(crate) fn tcp_queues(_socket: RawFd) -> io::Result<[u32; 2]> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "queue lengths are not read on this system"))
}

pub(crate) fn set_syn_count(_socket: BorrowedFd<'_>, _count: libc::c_int) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no TCP_SYNCNT"))
}

/// Not read here: not all of these systems count by thread.
pub(crate) fn thread_time() -> Option<ThreadTime> {
    None
}

/// There is none here: children are asked after when a SIGCHLD has come.
#[cfg(feature = "process")]
pub(crate) fn open_process(_process: u32) -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no pidfd"))
}

/// Cannot be called: nobody has such a descriptor here.
#[cfg(feature = "process")]
pub(crate) fn signal_process(_fd: BorrowedFd<'_>, _signal: libc::c_int) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no pidfd"))
}
