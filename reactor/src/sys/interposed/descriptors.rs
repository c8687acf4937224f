//! What is done with descriptors of any kind.

use std::ffi::{c_int, c_ulong, c_void};

use libc::{iovec, size_t, ssize_t};

use super::{call, given, is_simulated, next, number, room, set_errno, size, status};
use crate::simulation::{Errno, Kernel, Kind, is_entered};

/// # Safety
/// As close(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    if is_simulated(fd) {
        // What outlives its simulation is gone already; the standard library would abort over it.
        return if is_entered() { status(call(|kernel| kernel.close(fd))) } else { 0 };
    }
    let next = next!(close: unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: no pointer is passed.
    unsafe { next(fd) }
}

/// # Safety
/// As read(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let room = unsafe { room(buffer, length) };
        return size(call(|kernel| read_any(kernel, fd, room)));
    }
    let next = next!(read: unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, buffer, length) }
}

fn read_any(kernel: &mut Kernel, fd: c_int, room: &mut [u8]) -> Result<usize, Errno> {
    let file = kernel.file_of(fd)?;
    match kernel.file(file).kind {
        Kind::Event(_) => kernel.read_event(file, room),
        Kind::Socket(_) => kernel.receive(fd, room, 0).map(|received| received.bytes),
        _ => Err(libc::EINVAL),
    }
}

/// # Safety
/// As readv(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        return unsafe {
            scatter(parts, count.max(0) as usize, |room| size(call(|kernel| read_any(kernel, fd, room))))
        };
    }
    let next = next!(readv: unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, parts, count) }
}

/// Has `fill` fill one buffer, and puts what is in it into `parts`.
///
/// # Safety
/// `parts` must be valid for reads of `count` vectors, and each of them for writes of its length.
pub(super) unsafe fn scatter(
    parts: *const iovec,
    count: usize,
    fill: impl FnOnce(&mut [u8]) -> ssize_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    let parts = unsafe { std::slice::from_raw_parts(parts, count) };
    let mut whole = vec![0; parts.iter().map(|part| part.iov_len).sum()];
    let filled = fill(&mut whole);
    let mut rest = &whole[..filled.max(0) as usize];
    for part in parts {
        let (here, later) = rest.split_at(part.iov_len.min(rest.len()));
        // SAFETY: the caller's promise.
        unsafe { room(part.iov_base, here.len()) }.copy_from_slice(here);
        rest = later;
    }
    filled
}

/// Puts what is in `parts` into one buffer.
///
/// # Safety
/// `parts` must be valid for reads of `count` vectors, and each of them for reads of its length.
pub(super) unsafe fn gather(parts: *const iovec, count: usize) -> Vec<u8> {
    // SAFETY: the caller's promise.
    let parts = unsafe { std::slice::from_raw_parts(parts, count) };
    // SAFETY: the same.
    parts.iter().flat_map(|part| unsafe { given(part.iov_base, part.iov_len) }).copied().collect()
}

/// # Safety
/// As write(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let given = unsafe { given(bytes, length) };
        return size(call(|kernel| write_any(kernel, fd, given)));
    }
    let next = next!(write: unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, bytes, length) }
}

fn write_any(kernel: &mut Kernel, fd: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    let file = kernel.file_of(fd)?;
    match kernel.file(file).kind {
        Kind::Event(_) => kernel.write_event(file, bytes),
        Kind::Socket(_) => kernel.send(fd, bytes, None),
        _ => Err(libc::EINVAL),
    }
}

/// # Safety
/// As writev(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's promise.
        let whole = unsafe { gather(parts, count.max(0) as usize) };
        return size(call(|kernel| write_any(kernel, fd, &whole)));
    }
    let next = next!(writev: unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t);
    // SAFETY: the caller's promise.
    unsafe { next(fd, parts, count) }
}

/// The third argument of C's is one of `...`, which arrives where a third argument does on 64-bit Linux.
///
/// # Safety
/// As fcntl(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    if is_simulated(fd) && command == libc::F_GETFD && !is_entered() {
        return libc::FD_CLOEXEC;
    }
    if is_simulated(fd) {
        return number(call(|kernel| match command {
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => kernel.duplicate(fd),
            libc::F_GETFL => kernel.file_of(fd).map(|_| libc::O_RDWR | libc::O_NONBLOCK),
            libc::F_GETFD => kernel.file_of(fd).map(|_| libc::FD_CLOEXEC),
            libc::F_SETFL | libc::F_SETFD => kernel.file_of(fd).map(|_| 0),
            _ => Err(libc::EINVAL),
        }));
    }
    let next = next!(fcntl: unsafe extern "C" fn(c_int, c_int, ...) -> c_int);
    // SAFETY: the caller's promise; an argument that was not given is not looked at.
    unsafe { next(fd, command, argument) }
}

/// # Safety
/// As ioctl(2) has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if !is_simulated(fd) {
        let next = next!(ioctl: unsafe extern "C" fn(c_int, c_ulong, ...) -> c_int);
        // SAFETY: the caller's promise; an argument that was not given is not looked at.
        return unsafe { next(fd, request, argument) };
    }
    let looked = match request {
        libc::FIONBIO => return status(call(|kernel| kernel.file_of(fd).map(drop))),
        libc::FIONREAD => call(|kernel| kernel.look(fd)).map(|look| look.unread),
        libc::TIOCOUTQ => call(|kernel| kernel.look(fd)).map(|_| 0),
        _ => {
            set_errno(libc::ENOTTY);
            None
        }
    };
    if let Some(bytes) = looked {
        // SAFETY: both requests write one int.
        unsafe { argument.cast::<c_int>().write(bytes as c_int) };
    }
    status(looked.map(drop))
}
