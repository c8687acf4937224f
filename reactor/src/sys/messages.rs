//! What sockets know of their messages and their peers: system calls that neither the standard library nor
//! socket2 has in a safe form. For `punctual-net`, and not part of the public interface.
//!
//! nix has them too, but its `recvmmsg` hands the lengths of one call to the next as the room there is, and its
//! headers are allocated: the calls here keep everything on the stack.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::SystemTime;

use socket2::{SockAddr, SockAddrStorage};

use super::imp::messages as imp;

/// The most messages that one call moves.
pub const BATCH_MAX: usize = 64;

/// A message that has come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// How many bytes of it are in the buffer.
    pub bytes: usize,
    /// Whether there were more, which are lost.
    pub truncated: bool,
    /// When the kernel took it in, by the clock on the wall, if it was asked to say so.
    pub at: Option<SystemTime>,
    /// Who has sent it; of length 0 if nobody that has a name.
    pub from: SockAddr,
}

/// Who is at the other end of a Unix stream: as it was when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process, where the system says so.
    pub process: Option<u32>,
    /// The effective user.
    pub user: u32,
    /// The effective group.
    pub group: u32,
}

/// Receives one message (recvmsg(2)), or looks at it and leaves it there. It does not block. Descriptors that came
/// along are closed.
///
/// # Errors
/// What the kernel says.
pub fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    peek: bool,
    timestamp: bool,
) -> io::Result<Arrival> {
    let mut slot = Slot::empty();
    let mut part = io_vector(buffer);
    let mut header = slot.header(&mut part, timestamp);
    let flags = libc::MSG_DONTWAIT | imp::CLOSE_ON_EXEC | if peek { libc::MSG_PEEK } else { 0 };
    // SAFETY: the header points at `slot`, at `part` and through it at `buffer`, with their lengths; all three
    // outlive the call and nothing else uses them meanwhile.
    let bytes = check(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) })?;
    Ok(slot.arrival(&header, bytes))
}

/// Receives what has come, up to the number of buffers or [`BATCH_MAX`] messages, one into each buffer, and
/// adds them to `arrivals`. It does not block. Returns how many there were, which is 0 only without buffers.
///
/// # Errors
/// What the kernel says of the first.
pub fn receive_many<'a>(
    fd: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'a mut [u8]>,
    timestamp: bool,
    arrivals: &mut Vec<Arrival>,
) -> io::Result<usize> {
    imp::receive_many(fd, buffers, timestamp, arrivals)
}

/// Sends up to [`BATCH_MAX`] messages, each to the address beside it or to whom the socket is connected to. It
/// does not block and raises no signal. Returns how many were sent, which is 0 only if there were none.
///
/// # Errors
/// What the kernel says of the first.
pub fn send_many<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], Option<SockAddr>)>,
) -> io::Result<usize> {
    imp::send_many(fd, messages)
}

/// Has the kernel say of each message when it took it in.
///
/// # Errors
/// What the kernel says.
pub fn set_timestamps(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is an int that outlives the call, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            imp::TIMESTAMPS,
            (&raw const on).cast::<libc::c_void>(),
            length,
        )
    };
    check(result as isize).map(drop)
}

/// Receives what has come on a stream that does not block (recv(2)).
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn receive_bytes(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `buffer`, which outlives the call.
    check(unsafe { imp::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Sends on a stream that does not block (send(2)), with `flags`.
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn send_bytes(fd: BorrowedFd<'_>, bytes: &[u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `bytes`, which outlives the call.
    check(unsafe { imp::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Looks at what has come on a stream and leaves it there (recv(2)). It does not block.
///
/// # Errors
/// What the kernel says.
pub fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: the pointer and the length are those of `buffer`, which outlives the call.
    check(unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// Who is at the other end of a connected Unix stream.
///
/// # Errors
/// What the kernel says.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    imp::peer_credentials(fd)
}

/// One timestamp fits, and nothing else: no room is given to descriptors that a peer sends unasked.
const CONTROL: usize = {
    // SAFETY: it only computes a length.
    unsafe { libc::CMSG_SPACE(size_of::<imp::Timestamp>() as u32) as usize }
};

/// What the kernel fills in beside the bytes of a message.
pub(super) struct Slot {
    name: SockAddrStorage,
    control: Control,
}

/// The kernel's headers want the alignment of a `size_t`.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Slot {
    pub(super) fn empty() -> Slot {
        Slot { name: SockAddrStorage::zeroed(), control: Control([0; CONTROL]) }
    }

    /// A header that points at this slot and at `part`. It is for one call, while both stay where they are.
    pub(super) fn header(&mut self, part: &mut libc::iovec, timestamp: bool) -> libc::msghdr {
        let mut header = no_header();
        header.msg_name = (&raw mut self.name).cast();
        header.msg_namelen = size_of::<SockAddrStorage>() as libc::socklen_t;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if timestamp {
            header.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        header
    }

    /// What came into it, by the header as the kernel has left it.
    pub(super) fn arrival(&mut self, header: &libc::msghdr, bytes: usize) -> Arrival {
        let length = header.msg_namelen.min(size_of::<SockAddrStorage>() as libc::socklen_t);
        let name = std::mem::replace(&mut self.name, SockAddrStorage::zeroed());
        // SAFETY: it was zeroed, and the kernel has written a valid address of `length` bytes or none.
        let from = unsafe { SockAddr::new(name, length) };
        let at = if header.msg_controllen == 0 { None } else { self.read_control(header) };
        Arrival { bytes, truncated: header.msg_flags & libc::MSG_TRUNC != 0, at, from }
    }

    fn read_control(&mut self, filled: &libc::msghdr) -> Option<SystemTime> {
        let mut header = no_header();
        header.msg_control = self.control.0.as_mut_ptr().cast();
        header.msg_controllen = filled.msg_controllen.min(CONTROL as _);
        let mut at = None;
        // SAFETY: the header points at the control buffer alone, of which the kernel has filled
        // `msg_controllen` bytes.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&header) };
        while !next.is_null() {
            // SAFETY: the macros hand out pointers to whole headers within the buffer, and null at its end; the
            // length is that of the header with its data, of which no more is used than the buffer has.
            let (kind, data) = unsafe {
                let message = next.read_unaligned();
                let start: *const u8 = libc::CMSG_DATA(next);
                let offset = start.offset_from(header.msg_control.cast::<u8>()) as usize;
                let room = CONTROL.saturating_sub(offset);
                let length = (message.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = std::slice::from_raw_parts(start, length.min(room));
                ((message.cmsg_level, message.cmsg_type), data)
            };
            match kind {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => close_all(data),
                (libc::SOL_SOCKET, imp::TIMESTAMP_MESSAGE) => at = imp::timestamp(data),
                _ => {}
            }
            // SAFETY: `next` came from these macros and the same header.
            next = unsafe { libc::CMSG_NXTHDR(&header, next) };
        }
        at
    }
}

/// Nobody asked for descriptors: kept open they would be a leak of the peer's making.
fn close_all(descriptors: &[u8]) {
    for one in descriptors.chunks_exact(size_of::<RawFd>()) {
        let fd = one.try_into().map_or(-1, RawFd::from_ne_bytes);
        if fd >= 0 {
            // SAFETY: the kernel has just made it for us, and nobody else knows of it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

pub(super) fn io_vector(buffer: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

pub(super) fn no_header() -> libc::msghdr {
    // SAFETY: all-zero bytes are a valid msghdr (on some targets it has padding fields): no pointers, no lengths.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

#[inline]
pub(super) fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
