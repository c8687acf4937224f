//! What `messages` needs of Linux and Android.

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{null, null_mut};
use std::time::{Duration, SystemTime};

use socket2::SockAddr;

use crate::sys::messages::{self, Arrival, BATCH_MAX, Credentials, Slot, check, no_header};

/// Descriptors that come along with a message are not to be had by programs started meanwhile.
pub(in crate::sys) const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;

/// The option that asks for timestamps, the kind of message they come in, and how large they are.
pub(in crate::sys) const TIMESTAMPS: libc::c_int = libc::SO_TIMESTAMPNS;
pub(in crate::sys) const TIMESTAMP_MESSAGE: libc::c_int = libc::SCM_TIMESTAMPNS;
pub(in crate::sys) type Timestamp = [i64; 2];

/// Seconds and nanoseconds since 1970, both as long as a long is to the kernel (socket(7), `SO_TIMESTAMPNS`).
pub(in crate::sys) fn timestamp(data: &[u8]) -> Option<SystemTime> {
    let (seconds, nanoseconds) = match data.len() {
        16 => {
            let (seconds, nanoseconds) = data.split_at(8);
            let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_ne_bytes);
            (number(seconds)?, number(nanoseconds)?)
        }
        8 => {
            let (seconds, nanoseconds) = data.split_at(4);
            let number = |bytes: &[u8]| bytes.try_into().ok().map(i32::from_ne_bytes);
            (number(seconds)?.into(), number(nanoseconds)?.into())
        }
        _ => return None,
    };
    let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Whether the C library's own are called. To glibc both are points at which a thread can be cancelled (pthreads(7)), and where there
/// are several it changes the thread's state before each call and after it. Nobody cancels a loop's, so that the call alone is made;
/// but a simulation goes by the library's names, and with words of 32 bits an old kernel may know the call by another.
const BY_NAME: bool =
    cfg!(feature = "test") || !cfg!(all(target_env = "gnu", target_pointer_width = "64"));

/// # Safety
/// As recv(2) has it.
#[inline]
pub(in crate::sys) unsafe fn recv(fd: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> isize {
    if BY_NAME {
        // SAFETY: the caller's promise.
        return unsafe { libc::recv(fd, buffer, length, flags) };
    }
    let (fd, flags, nobody) = (c_long::from(fd), c_long::from(flags), null_mut::<c_void>());
    // SAFETY: the caller's promise; nobody's address is written.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, buffer, length, flags, nobody, nobody) as isize }
}

/// # Safety
/// As send(2) has it.
#[inline]
pub(in crate::sys) unsafe fn send(
    fd: c_int,
    bytes: *const c_void,
    length: usize,
    flags: c_int,
) -> isize {
    if BY_NAME {
        // SAFETY: the caller's promise.
        return unsafe { libc::send(fd, bytes, length, flags) };
    }
    let (fd, flags, nobody) = (c_long::from(fd), c_long::from(flags), null::<c_void>());
    // SAFETY: the caller's promise; nobody's address is read.
    unsafe { libc::syscall(libc::SYS_sendto, fd, bytes, length, flags, nobody, 0_usize) as isize }
}

/// recvmmsg(2): with what has come it returns, and an error after the first message is kept for the next call.
pub(in crate::sys) fn receive_many<'a>(
    fd: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'a mut [u8]>,
    timestamp: bool,
    arrivals: &mut Vec<Arrival>,
) -> io::Result<usize> {
    let mut slots: [Slot; BATCH_MAX] = std::array::from_fn(|_| Slot::empty());
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
    let mut headers = [libc::mmsghdr { msg_hdr: no_header(), msg_len: 0 }; BATCH_MAX];
    let mut count = 0;
    let room = slots.iter_mut().zip(&mut parts).zip(&mut headers);
    for (buffer, ((slot, part), header)) in buffers.zip(room) {
        *part = messages::io_vector(buffer);
        header.msg_hdr = slot.header(part, timestamp);
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let flags = libc::MSG_DONTWAIT | CLOSE_ON_EXEC;
    // SAFETY: the first `count` headers point at slots and parts of this frame, and these at buffers that are
    // borrowed for the whole of it; nothing else uses them during the call.
    let received = unsafe {
        let headers = headers.as_mut_ptr();
        libc::recvmmsg(fd.as_raw_fd(), headers, count, flags as _, std::ptr::null_mut())
    };
    let received = check(received as isize)?;
    let filled = slots.iter_mut().zip(&headers).take(received);
    arrivals.extend(filled.map(|(slot, header)| slot.arrival(&header.msg_hdr, header.msg_len as usize)));
    Ok(received)
}

/// sendmmsg(2): an error after the first message is told by the next call, if it is still there.
pub(in crate::sys) fn send_many<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], Option<SockAddr>)>,
) -> io::Result<usize> {
    let mut names = [const { None }; BATCH_MAX];
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
    let mut headers = [libc::mmsghdr { msg_hdr: no_header(), msg_len: 0 }; BATCH_MAX];
    let mut count = 0;
    let room = names.iter_mut().zip(&mut parts).zip(&mut headers);
    for ((payload, to), ((name, part), header)) in messages.zip(room) {
        *part = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        if let Some(to) = to {
            let to: &SockAddr = name.insert(to);
            header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = to.len();
        }
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the first `count` headers point at names and parts of this frame, and these at payloads that are
    // borrowed for the whole of it. The kernel only reads them.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags as _) };
    check(sent as isize)
}

/// `SO_PEERCRED` (unix(7)).
pub(in crate::sys) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the value is a ucred that outlives the call, and its length is given.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut length,
        )
    };
    check(result as isize)?;
    let process = u32::try_from(peer.pid).ok().filter(|pid| *pid != 0);
    Ok(Credentials { process, user: peer.uid, group: peer.gid })
}
