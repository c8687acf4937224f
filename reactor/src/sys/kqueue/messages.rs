//! What `messages` needs of systems with kqueue.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

pub(in crate::sys) use libc::{recv, send};
use socket2::{SockAddr, SockRef};

use crate::sys::messages::{self, Arrival, BATCH_MAX, Credentials, check};

/// They are closed at once.
pub(in crate::sys) const CLOSE_ON_EXEC: libc::c_int = 0;

pub(in crate::sys) const TIMESTAMPS: libc::c_int = libc::SO_TIMESTAMP;
pub(in crate::sys) const TIMESTAMP_MESSAGE: libc::c_int = libc::SCM_TIMESTAMP;
pub(in crate::sys) type Timestamp = libc::timeval;

/// Seconds and microseconds since 1970 (getsockopt(2), `SO_TIMESTAMP`).
pub(in crate::sys) fn timestamp(data: &[u8]) -> Option<SystemTime> {
    if data.len() < size_of::<Timestamp>() {
        return None;
    }
    // SAFETY: there are that many bytes, of whatever alignment, and all bytes are a valid timeval.
    let time = unsafe { data.as_ptr().cast::<Timestamp>().read_unaligned() };
    let micros = Duration::from_micros(time.tv_usec.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.tv_sec.try_into().ok()?) + micros)
}

/// One after the other. An error after the first message is lost, if the socket does not repeat it.
pub(in crate::sys) fn receive_many<'a>(
    fd: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'a mut [u8]>,
    timestamp: bool,
    arrivals: &mut Vec<Arrival>,
) -> io::Result<usize> {
    let mut received = 0;
    for buffer in buffers.take(BATCH_MAX) {
        match messages::receive(fd, buffer, false, timestamp) {
            Ok(arrival) => arrivals.push(arrival),
            Err(error) if received == 0 => return Err(error),
            Err(_) => break,
        }
        received += 1;
    }
    Ok(received)
}

/// One after the other. An error after the first message is told by the next call, if it is still there.
pub(in crate::sys) fn send_many<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], Option<SockAddr>)>,
) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // There the socket itself is told, with `SO_NOSIGPIPE`.
    #[cfg(target_vendor = "apple")]
    let flags = libc::MSG_DONTWAIT;
    let mut sent = 0;
    for (payload, to) in messages.take(BATCH_MAX) {
        let socket = SockRef::from(&fd);
        let result = match to {
            Some(to) => socket.send_to_with_flags(payload, &to, flags),
            None => socket.send_with_flags(payload, flags),
        };
        match result {
            Ok(_) => sent += 1,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

/// getpeereid(3); it says nothing of the process.
pub(in crate::sys) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: both pointers are valid for a write for the length of the call.
    let result = unsafe { libc::getpeereid(fd.as_raw_fd(), &mut user, &mut group) };
    check(result as isize)?;
    Ok(Credentials { process: None, user, group })
}
