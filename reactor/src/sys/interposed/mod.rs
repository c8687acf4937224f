//! The C library's functions that go to a simulated kernel on a thread that is [in one](crate::simulation), and to the C library
//! otherwise (feature `test`, glibc). As `libc` declares them, the program calls these.
//!
//! A function of C's is found by its name when a program is linked; what the program itself defines comes before what a
//! library does. The library's own is asked for by `dlsym(RTLD_NEXT)`, once.
//!
//! Which kernel a call goes to its descriptor says: the simulated ones are numbered from 2^29. Calls that make a descriptor, and the clock,
//! ask whether the thread is in a simulation, which is one look at a thread-local flag.

mod clock;
mod descriptors;
mod messages;
mod polling;
mod sockets;

use std::ffi::{c_int, c_void};

use crate::simulation::{Errno, FIRST, Kernel, with_kernel};

/// The C library's own `$name`, as a function of the given type.
macro_rules! next {
    ($name:ident: $type:ty) => {{
        use std::sync::atomic::{AtomicPtr, Ordering};
        static NEXT: AtomicPtr<std::ffi::c_void> = AtomicPtr::new(std::ptr::null_mut());
        let mut next = NEXT.load(Ordering::Relaxed);
        if next.is_null() {
            let name = concat!(stringify!($name), "\0");
            // SAFETY: the name ends with a zero, and outlives the call.
            next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) };
            assert!(!next.is_null(), concat!("the C library has no ", stringify!($name)));
            NEXT.store(next, Ordering::Relaxed);
        }
        // SAFETY: that name is this function's in the C library, and its type is the one that the `libc` crate declares.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, $type>(next) }
    }};
}
use next;

/// Whether a descriptor is of a simulated kernel.
fn is_simulated(fd: c_int) -> bool {
    fd >= FIRST
}

/// Makes a call on the simulated kernel, and puts what came of it as C does. A descriptor that is used
/// outside of its simulation is none.
fn call<T>(call: impl FnOnce(&mut Kernel) -> Result<T, Errno>) -> Option<T> {
    match with_kernel(call).unwrap_or(Err(libc::EBADF)) {
        Ok(value) => Some(value),
        Err(errno) => {
            set_errno(errno);
            None
        }
    }
}

fn set_errno(errno: Errno) {
    // SAFETY: the pointer is to this thread's own `errno`.
    unsafe { *libc::__errno_location() = errno };
}

/// 0, or -1 with `errno` set.
fn status(value: Option<()>) -> c_int {
    if value.is_some() { 0 } else { -1 }
}

/// A descriptor or -1.
fn number(value: Option<c_int>) -> c_int {
    value.unwrap_or(-1)
}

/// How many bytes, or -1.
fn size(value: Option<usize>) -> isize {
    value.map_or(-1, |bytes| bytes as isize)
}

/// What a caller of `read` and its kin has room for.
///
/// # Safety
/// `buffer` must be valid for writes of `length` initialized or uninitialized bytes, and nothing else may use it meanwhile.
unsafe fn room<'a>(buffer: *mut c_void, length: usize) -> &'a mut [u8] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise. Whether the bytes are initialized nobody sees: they are only written.
    unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) }
}

/// What a caller of `write` and its kin hands over.
///
/// # Safety
/// `bytes` must be valid for reads of `length` bytes.
unsafe fn given<'a>(bytes: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(bytes.cast(), length) }
}
