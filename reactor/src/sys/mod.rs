//! The system calls that mio does not make for us, and the project's only `unsafe`.
//!
//! What a backend owes, in this order: [`messages`], [`clock_now`], [`TimerFd`], [`borrow_fd`], [`PRIORITY`],
//! [`tcp_info`], [`tcp_queues`], [`set_syn_count`], [`thread_time`],
//! [`open_process`], [`signal_process`]. The
//! one platform switch of this crate is the pair of `cfg`s below.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "linux.rs"]
mod imp;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "kqueue.rs"]
mod imp;

#[cfg(all(feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod interposed;
pub mod messages;
mod prefetch;
pub(crate) mod process;
#[cfg(feature = "profile")]
pub(crate) mod profile;
#[cfg(feature = "rig")]
pub mod rig;
pub(crate) mod ticks;

pub(crate) use prefetch::prefetch;

pub(crate) use imp::{BOOTTIME, PRIORITY, TimerFd, set_syn_count, tcp_info, tcp_queues, thread_time};
#[cfg(feature = "process")]
pub(crate) use imp::{open_process, signal_process};

use crate::readiness::Direction;

/// The clock that `CLOCK_MONOTONIC` names here.
pub(crate) const MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// Reads `clock` in nanoseconds since its epoch.
pub(crate) fn clock_now(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is valid for a write of one timespec for the length of the call.
    let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    debug_assert_eq!(result, 0, "clock_gettime fails only for a clock that does not exist");
    // SAFETY: all-zero bytes are a valid timespec, and the kernel can only have overwritten them.
    let time = unsafe { time.assume_init() };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// What this host is called (gethostname(2)), if that is a word.
#[must_use]
pub fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the pointer is valid for writes of the length that is passed along.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    if result < 0 {
        return None;
    }
    // A name that was cut need not be terminated.
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// How many descriptors this process may have at once (the soft limit of `RLIMIT_NOFILE`, getrlimit(2)); `u64::MAX` if
/// there is no limit.
///
/// # Errors
/// What the kernel says.
pub fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for writes of one rlimit.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "it is signed on some systems")]
    Ok(if limit.rlim_cur == libc::RLIM_INFINITY { u64::MAX } else { limit.rlim_cur as u64 })
}

/// The number of the network interface with this name (if_nametoindex(3)).
#[must_use]
pub fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is terminated, and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Borrows the epoll or kqueue descriptor of `registry`.
pub(crate) fn borrow_fd(registry: &mio::Registry) -> BorrowedFd<'_> {
    let fd: RawFd = registry.as_raw_fd();
    // SAFETY: a registry owns its descriptor, and keeps it open for at least the lifetime of the borrow.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Has reads and writes of the open file description behind `fd` answer `WouldBlock` instead of waiting.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointer is passed, and the borrow keeps the descriptor open.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: as above.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// Asks `poll(2)` whether `fd` is ready in `direction` at this moment; an end or an error is ready.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one pollfd, as the count says, and valid for the length of the call.
    let ready = check(unsafe { libc::poll(&mut asked, 1, 0) })?;
    if asked.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(ready > 0)
}

/// Sends `signal` to the process with this number, which must be a child that was not reaped yet.
#[cfg(feature = "process")]
pub(crate) fn kill(process: u32, signal: libc::c_int) -> io::Result<()> {
    // Zero and below would name groups.
    let number = libc::pid_t::try_from(process).ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: no pointer is passed.
    check(unsafe { libc::kill(number, signal) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
