//! Linux and Android: a timerfd in the epoll set.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::blame::ThreadTime;

#[path = "linux/messages.rs"]
pub(super) mod messages;

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

/// Reads what the kernel knows of a TCP socket (`TCP_INFO`, tcp(7)) into `info`; returns how much it knew.
/// Older kernels know less, never otherwise: the structure only ever grew at its end.
pub(crate) fn tcp_info(socket: RawFd, info: &mut [u8]) -> io::Result<usize> {
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, and to `length` how many those were.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info.len().min(length as usize)) }
}

/// How many bytes a TCP socket has received that were not read (`SIOCINQ`), and how many it was given that
/// were not acknowledged (`SIOCOUTQ`, tcp(7)).
pub(crate) fn tcp_queues(socket: RawFd) -> io::Result<[u32; 2]> {
    let mut queues = [0; 2];
    for (length, request) in queues.iter_mut().zip([libc::FIONREAD, libc::TIOCOUTQ]) {
        let mut bytes: libc::c_int = 0;
        // SAFETY: both requests write one int, to a place that outlives the call.
        if unsafe { libc::ioctl(socket, request, &mut bytes) } < 0 {
            return Err(io::Error::last_os_error());
        }
        *length = bytes as u32;
    }
    Ok(queues)
}

/// How often a SYN is sent again (`TCP_SYNCNT`, tcp(7)).
pub(crate) fn set_syn_count(socket: BorrowedFd<'_>, count: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one int, from a place that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            std::ptr::from_ref(&count).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How long this thread has run, to the nanosecond (clock_gettime(2)), and how often the kernel has taken it off its CPU
/// (getrusage(2)).
pub(crate) fn thread_time() -> Option<ThreadTime> {
    let cpu_ns = super::clock_now(libc::CLOCK_THREAD_CPUTIME_ID);
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a write of one rusage for the length of the call.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid rusage, and the kernel can only have overwritten them.
    let usage = unsafe { usage.assume_init() };
    (result == 0).then_some(ThreadTime { cpu_ns, preempted: usage.ru_nivcsw as u64 })
}

/// A descriptor of a child that was not reaped yet, readable once it has ended (`pidfd_open(2)`, Linux 5.3). It is
/// closed on exec, as every pidfd is.
#[cfg(feature = "process")]
pub(crate) fn open_process(process: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed; the result is checked before it is owned.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made by the kernel for us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends `signal` to the process that `fd` is of, which cannot be another by now (`pidfd_send_signal(2)`, Linux 5.1).
#[cfg(feature = "process")]
pub(crate) fn signal_process(fd: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the borrow keeps the descriptor open, and a null pointer asks for the information of `kill`.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, no_info, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
