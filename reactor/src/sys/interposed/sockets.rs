//! What is done with sockets.

use std::ffi::{c_int, c_void};
use std::net::SocketAddr;

use libc::{sockaddr, socklen_t};
use socket2::{SockAddr, SockAddrStorage};

use super::{call, is_simulated, next, number, room, set_errno, status};
use crate::simulation::is_entered;

/// # Safety
/// As socket(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let simulated = is_entered() && (domain == libc::AF_INET || domain == libc::AF_INET6);
    if simulated {
        return number(call(|kernel| kernel.socket(domain, kind)));
    }
    let next = next!(socket: unsafe extern "C" fn(c_int, c_int, c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(domain, kind, protocol) }
}

/// Reads an address of IP; sets `errno` if it is none.
///
/// # Safety
/// `address` must be valid for reads of `length` bytes.
pub(super) unsafe fn read_address(address: *const sockaddr, length: socklen_t) -> Option<SocketAddr> {
    let mut storage = SockAddrStorage::zeroed();
    let bytes = (length as usize).min(storage.size_of() as usize);
    // SAFETY: the storage has room for so much, and what is read the caller answers for.
    unsafe { std::ptr::copy_nonoverlapping(address.cast::<u8>(), (&raw mut storage).cast(), bytes) };
    // SAFETY: the storage is initialized, and that much of it was written.
    let address = unsafe { SockAddr::new(storage, bytes as socklen_t) };
    let address = address.as_socket();
    if address.is_none() {
        set_errno(libc::EAFNOSUPPORT);
    }
    address
}

/// Writes an address where the caller has room for it, if it has any.
///
/// # Safety
/// If they are not null, `length` must be valid for reads and writes, and `room` for writes of what it says.
pub(super) unsafe fn write_address(
    address: Option<SocketAddr>,
    room: *mut sockaddr,
    length: *mut socklen_t,
) {
    let Some(address) = address.filter(|_| !room.is_null() && !length.is_null()) else { return };
    let address = SockAddr::from(address);
    // SAFETY: the caller's promise.
    let bytes = unsafe { *length }.min(address.len()) as usize;
    // SAFETY: the address has so many bytes, and so has the room.
    unsafe { std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), room.cast(), bytes) };
    // SAFETY: the caller's promise.
    unsafe { *length = address.len() };
}

/// # Safety
/// As bind(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let address = unsafe { read_address(address, length) };
        return status(address.and_then(|address| call(|kernel| kernel.bind(fd, address))));
    }
    let next = next!(bind: unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int);
    // SAFETY: the caller's promise.
    unsafe { next(fd, address, length) }
}

/// # Safety
/// As listen(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    if is_simulated(fd) {
        return status(call(|kernel| kernel.listen(fd, backlog)));
    }
    let next = next!(listen: unsafe extern "C" fn(c_int, c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(fd, backlog) }
}

/// # Safety
/// As connect(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let address = unsafe { read_address(address, length) };
        return status(address.and_then(|address| call(|kernel| kernel.connect(fd, address))));
    }
    let next = next!(connect: unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int);
    // SAFETY: the caller's promise.
    unsafe { next(fd, address, length) }
}

/// # Safety
/// As accept4(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    if is_simulated(fd) {
        let accepted = call(|kernel| kernel.accept(fd));
        // SAFETY: the caller's promise.
        unsafe { write_address(accepted.map(|(_, from)| from), address, length) };
        return number(accepted.map(|(fd, _)| fd));
    }
    type Next = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;
    let next = next!(accept4: Next);
    // SAFETY: the caller's promise.
    unsafe { next(fd, address, length, flags) }
}

/// # Safety
/// As getsockname(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if is_simulated(fd) {
        let name = call(|kernel| kernel.name_of(fd, false));
        // SAFETY: the caller's promise.
        unsafe { write_address(name, address, length) };
        return status(name.map(drop));
    }
    let next = next!(getsockname: unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int);
    // SAFETY: the caller's promise.
    unsafe { next(fd, address, length) }
}

/// # Safety
/// As getpeername(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if is_simulated(fd) {
        let name = call(|kernel| kernel.name_of(fd, true));
        // SAFETY: the caller's promise.
        unsafe { write_address(name, address, length) };
        return status(name.map(drop));
    }
    let next = next!(getpeername: unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int);
    // SAFETY: the caller's promise.
    unsafe { next(fd, address, length) }
}

/// `SO_ERROR`, and of `TCP_INFO` the state; of other options that they are off.
///
/// # Safety
/// As getsockopt(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    if !is_simulated(fd) {
        type Next = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
        let next = next!(getsockopt: Next);
        // SAFETY: the caller's promise.
        return unsafe { next(fd, level, option, value, length) };
    }
    let first = match (level, option) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => call(|kernel| kernel.take_error(fd)),
        (libc::IPPROTO_TCP, libc::TCP_INFO) => {
            call(|kernel| kernel.look(fd)).map(|look| look.state.into())
        }
        _ => call(|kernel| kernel.file_of(fd).map(|_| 0)),
    };
    if let Some(first) = first {
        // SAFETY: the caller's promise.
        let room = unsafe { room(value, *length as usize) };
        room.fill(0);
        let first = first.to_ne_bytes();
        let written = first.len().min(room.len());
        room[..written].copy_from_slice(&first[..written]);
    }
    status(first.map(drop))
}

/// `SO_LINGER` of zero has an effect; other options are taken, and forgotten.
///
/// # Safety
/// As setsockopt(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    if !is_simulated(fd) {
        type Next = unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
        let next = next!(setsockopt: Next);
        // SAFETY: the caller's promise.
        return unsafe { next(fd, level, option, value, length) };
    }
    if (level, option) == (libc::SOL_SOCKET, libc::SO_LINGER)
        && length as usize >= size_of::<libc::linger>()
    {
        // SAFETY: the caller's promise, and there is enough of it.
        let linger = unsafe { value.cast::<libc::linger>().read_unaligned() };
        let resets = linger.l_onoff != 0 && linger.l_linger == 0;
        return status(call(|kernel| kernel.reset_on_close(fd, resets)));
    }
    status(call(|kernel| kernel.file_of(fd).map(drop)))
}

/// # Safety
/// As shutdown(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    if is_simulated(fd) {
        return status(call(|kernel| kernel.shutdown(fd, how)));
    }
    let next = next!(shutdown: unsafe extern "C" fn(c_int, c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(fd, how) }
}
