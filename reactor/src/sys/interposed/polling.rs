//! epoll, eventfd and poll.

use std::ffi::{c_int, c_uint};

use libc::{epoll_event, nfds_t, pollfd};

use super::{call, is_simulated, next, number, set_errno, status};
use crate::simulation::{ERR, HUP, IN, OUT, Told, is_entered, reach_point};

/// # Safety
/// As epoll_create1(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    if is_entered() {
        return number(call(|kernel| kernel.epoll_create()));
    }
    let next = next!(epoll_create1: unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(flags) }
}

/// # Safety
/// As epoll_ctl(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    if !is_simulated(epoll) {
        type Next = unsafe extern "C" fn(c_int, c_int, c_int, *mut epoll_event) -> c_int;
        let next = next!(epoll_ctl: Next);
        // SAFETY: the caller's promise.
        return unsafe { next(epoll, operation, fd, event) };
    }
    if !is_simulated(fd) {
        // As of a file that cannot be polled: the real kernel's descriptors cannot wake a simulated loop.
        set_errno(libc::EPERM);
        return -1;
    }
    let told = if event.is_null() {
        Told { mask: 0, data: 0 }
    } else {
        // SAFETY: the caller's promise. The structure is packed on some machines.
        let event = unsafe { event.read_unaligned() };
        Told { mask: event.events, data: event.u64 }
    };
    status(call(|kernel| kernel.epoll_ctl(epoll, operation, fd, told)))
}

/// # Safety
/// As epoll_wait(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout_ms: c_int,
) -> c_int {
    if !is_simulated(epoll) {
        let next =
            next!(epoll_wait: unsafe extern "C" fn(c_int, *mut epoll_event, c_int, c_int) -> c_int);
        // SAFETY: the caller's promise.
        return unsafe { next(epoll, events, most, timeout_ms) };
    }
    reach_point();
    let told = call(|kernel| kernel.epoll_wait(epoll, most.max(0) as usize, timeout_ms));
    if let Some(told) = &told {
        for (at, Told { mask, data }) in told.iter().enumerate() {
            // SAFETY: the caller has room for `most` events, and there are no more. The structure is packed on some machines.
            unsafe { events.add(at).write_unaligned(epoll_event { events: *mask, u64: *data }) };
        }
        reach_point();
    }
    told.map_or(-1, |told| told.len() as c_int)
}

/// # Safety
/// As eventfd(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn eventfd(count: c_uint, flags: c_int) -> c_int {
    if is_entered() {
        return number(call(|kernel| kernel.eventfd(count.into())));
    }
    let next = next!(eventfd: unsafe extern "C" fn(c_uint, c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(count, flags) }
}

/// A simulated descriptor is looked at, and not waited for.
///
/// # Safety
/// As poll(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(descriptors: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int {
    let asked = if count == 0 {
        &mut []
    } else {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(descriptors, count as usize) }
    };
    if !asked.iter().any(|one| is_simulated(one.fd)) {
        let next = next!(poll: unsafe extern "C" fn(*mut pollfd, nfds_t, c_int) -> c_int);
        // SAFETY: the caller's promise.
        return unsafe { next(descriptors, count, timeout_ms) };
    }
    let ready = call(|kernel| {
        for one in &mut *asked {
            let state = kernel.file_of(one.fd).map(|file| kernel.state_of(file));
            // The bits of poll and epoll are the same.
            let asked_for = one.events as u32 & (IN | OUT) | ERR | HUP;
            one.revents = state.map_or(libc::POLLNVAL, |state| (state & asked_for) as i16);
        }
        Ok(asked.iter().filter(|one| one.revents != 0).count())
    });
    ready.map_or(-1, |ready| ready as c_int)
}
