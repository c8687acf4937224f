//! Time and chance.

use std::ffi::{c_int, c_uint, c_void};

use libc::{clockid_t, itimerspec, size_t, ssize_t, timespec};

use super::{call, is_simulated, next, number, room, size, status};
use crate::simulation::{is_entered, with_kernel};

/// The simulated clock on the wall is so far ahead of the monotonic one: in January 2026.
const WALL_NS: u64 = 1_767_225_600_000_000_000;

/// # Safety
/// As clock_gettime(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    if let Some(now_ns) = with_kernel(crate::simulation::Kernel::read_clock) {
        let ns = now_ns + if clock == libc::CLOCK_REALTIME { WALL_NS } else { 0 };
        let read = timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
        // SAFETY: the caller's promise.
        unsafe { time.write(read) };
        return 0;
    }
    let next = next!(clock_gettime: unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int);
    // SAFETY: the caller's promise.
    unsafe { next(clock, time) }
}

/// # Safety
/// As getrandom(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if is_entered() {
        // SAFETY: the caller's promise.
        let room = unsafe { room(buffer, length) };
        return size(call(|kernel| {
            kernel.secrets.fill(room);
            Ok(length)
        }));
    }
    let next = next!(getrandom: unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(buffer, length, flags) }
}

/// # Safety
/// As timerfd_create(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_create(clock: c_int, flags: c_int) -> c_int {
    if is_entered() {
        return number(call(|kernel| kernel.timerfd()));
    }
    let next = next!(timerfd_create: unsafe extern "C" fn(c_int, c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(clock, flags) }
}

/// Only absolute times, and no periods: that is what the reactor asks for.
///
/// # Safety
/// As timerfd_settime(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_settime(
    fd: c_int,
    flags: c_int,
    new: *const itimerspec,
    old: *mut itimerspec,
) -> c_int {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let at = unsafe { (*new).it_value };
        let at_ns = (at.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(at.tv_nsec as u64);
        return status(call(|kernel| kernel.arm(fd, (at_ns > 0).then_some(at_ns))));
    }
    type Next = unsafe extern "C" fn(c_int, c_int, *const itimerspec, *mut itimerspec) -> c_int;
    let next = next!(timerfd_settime: Next);
    // SAFETY: the caller's promise.
    unsafe { next(fd, flags, new, old) }
}
