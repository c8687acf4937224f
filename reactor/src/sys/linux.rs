//! Linux and Android: a timerfd in the epoll set.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub(crate) const BOOTTIME: Option<libc::clockid_t> = Some(libc::CLOCK_BOOTTIME);

/// Asks for urgent data to be reported apart: a short read then proves a drained socket.
pub(crate) const PRIORITY: Option<mio::Interest> = Some(mio::Interest::PRIORITY);

/// A one-shot alarm at an absolute time, readable in an epoll set once it has gone off.
///
/// It has no timer slack, unlike the timeout of `epoll_wait` and `epoll_pwait2` (`timerfd_create(2)`).
#[derive(Debug)]
pub(crate) struct TimerFd {
    fd: OwnedFd,
}

impl TimerFd {
    pub(crate) fn new(clock: libc::clockid_t) -> io::Result<TimerFd> {
        // SAFETY: no pointer is passed; the result is checked before it is owned.
        let fd = unsafe { libc::timerfd_create(clock, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made by the kernel for us and nobody else owns it.
        Ok(TimerFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Sets the alarm to `at_ns` of its clock and clears what it had ticked.
    pub(crate) fn arm(&self, at_ns: u64) -> io::Result<()> {
        // Zero would disarm, and what lies beyond i64 nanoseconds (292 years) never comes.
        let at_ns = at_ns.clamp(1, i64::MAX as u64);
        // SAFETY: all-zero bytes are a valid itimerspec (on some targets it has padding fields).
        let mut spec: libc::itimerspec = unsafe { MaybeUninit::zeroed().assume_init() };
        spec.it_value.tv_sec = (at_ns / 1_000_000_000) as libc::time_t;
        spec.it_value.tv_nsec = (at_ns % 1_000_000_000) as libc::c_long;
        // SAFETY: `spec` outlives the call and the old value is not asked for.
        let result = unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &spec,
                std::ptr::null_mut(),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
