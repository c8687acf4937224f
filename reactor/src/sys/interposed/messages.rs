//! What is sent and received on sockets.

use std::ffi::{c_int, c_uint, c_void};

use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::descriptors::{gather, scatter};
use super::sockets::{read_address, write_address};
use super::{call, given, is_simulated, next, room, size};
use crate::simulation::Received;

/// # Safety
/// As recv(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let room = unsafe { room(buffer, length) };
        return size(call(|kernel| kernel.receive(fd, room, flags)).map(|received| received.bytes));
    }
    let next = next!(recv: unsafe extern "C" fn(c_int, *mut c_void, size_t, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, buffer, length, flags) }
}

/// # Safety
/// As recvfrom(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_length: *mut socklen_t,
) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let room = unsafe { room(buffer, length) };
        let received = call(|kernel| kernel.receive(fd, room, flags));
        let from = received.and_then(|received| received.from);
        // SAFETY: the caller's promise.
        unsafe { write_address(from, address, address_length) };
        return size(received.map(|received| received.bytes));
    }
    type Next = unsafe extern "C" fn(
        c_int,
        *mut c_void,
        size_t,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> ssize_t;
    let next = next!(recvfrom: Next);
    // SAFETY: the caller's promise.
    unsafe { next(fd, buffer, length, flags, address, address_length) }
}

/// # Safety
/// As recvmsg(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        return unsafe { receive_message(fd, message, flags) };
    }
    let next = next!(recvmsg: unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, message, flags) }
}

/// # Safety
/// As recvmsg(2) has it.
unsafe fn receive_message(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let message = unsafe { &mut *message };
    let mut found: Option<Received> = None;
    let fill = |room: &mut [u8]| {
        found = call(|kernel| kernel.receive(fd, room, flags));
        size(found.map(|received| received.bytes))
    };
    // SAFETY: the caller's promise.
    let bytes = unsafe { scatter(message.msg_iov, message.msg_iovlen, fill) };
    let Some(found) = found else { return bytes };
    message.msg_flags = if found.truncated { libc::MSG_TRUNC } else { 0 };
    message.msg_controllen = 0;
    if found.from.is_none() {
        message.msg_namelen = 0;
    }
    // SAFETY: the caller's promise.
    unsafe { write_address(found.from, message.msg_name.cast(), &mut message.msg_namelen) };
    bytes
}

/// # Safety
/// As recvmmsg(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    if !is_simulated(fd) {
        type Next = unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int, *mut timespec) -> c_int;
        let next = next!(recvmmsg: Next);
        // SAFETY: the caller's promise.
        return unsafe { next(fd, messages, count, flags, timeout) };
    }
    for at in 0..count {
        // SAFETY: the caller's promise.
        let message = unsafe { &mut *messages.add(at as usize) };
        // SAFETY: the same.
        let bytes = unsafe { receive_message(fd, &mut message.msg_hdr, flags) };
        if bytes < 0 {
            return if at > 0 { at as c_int } else { -1 };
        }
        message.msg_len = bytes as c_uint;
    }
    count as c_int
}

/// # Safety
/// As send(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let given = unsafe { given(bytes, length) };
        return size(call(|kernel| kernel.send(fd, given, None)));
    }
    let next = next!(send: unsafe extern "C" fn(c_int, *const c_void, size_t, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, bytes, length, flags) }
}

/// # Safety
/// As sendto(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    bytes: *const c_void,
    length: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> ssize_t {
    if !is_simulated(fd) {
        type Next = unsafe extern "C" fn(
            c_int,
            *const c_void,
            size_t,
            c_int,
            *const sockaddr,
            socklen_t,
        ) -> ssize_t;
        let next = next!(sendto: Next);
        // SAFETY: the caller's promise.
        return unsafe { next(fd, bytes, length, flags, address, address_length) };
    }
    // SAFETY: the caller's promise.
    let given = unsafe { given(bytes, length) };
    if address.is_null() {
        return size(call(|kernel| kernel.send(fd, given, None)));
    }
    // SAFETY: the caller's promise.
    let Some(to) = (unsafe { read_address(address, address_length) }) else { return -1 };
    size(call(|kernel| kernel.send(fd, given, Some(to))))
}

/// # Safety
/// As sendmsg(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        return unsafe { send_message(fd, message) };
    }
    let next = next!(sendmsg: unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, message, flags) }
}

/// # Safety
/// As sendmsg(2) has it.
unsafe fn send_message(fd: c_int, message: *const msghdr) -> ssize_t {
    // SAFETY: the caller's promise.
    let message = unsafe { &*message };
    // SAFETY: the caller's promise.
    let whole = unsafe { gather(message.msg_iov, message.msg_iovlen) };
    if message.msg_name.is_null() {
        return size(call(|kernel| kernel.send(fd, &whole, None)));
    }
    // SAFETY: the caller's promise.
    let Some(to) = (unsafe { read_address(message.msg_name.cast(), message.msg_namelen) }) else {
        return -1;
    };
    size(call(|kernel| kernel.send(fd, &whole, Some(to))))
}

/// # Safety
/// As sendmmsg(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    if !is_simulated(fd) {
        let next = next!(sendmmsg: unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int) -> c_int);
        // SAFETY: the caller's promise.
        return unsafe { next(fd, messages, count, flags) };
    }
    for at in 0..count {
        // SAFETY: the caller's promise.
        let message = unsafe { &mut *messages.add(at as usize) };
        // SAFETY: the same.
        let bytes = unsafe { send_message(fd, &message.msg_hdr) };
        if bytes < 0 {
            return if at > 0 { at as c_int } else { -1 };
        }
        message.msg_len = bytes as c_uint;
    }
    count as c_int
}
