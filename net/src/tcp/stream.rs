//! [`TcpStream`]: reading, writing, ending.

use std::cell::Cell;
use std::fmt;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read};
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Direction, Done, Failure, Instant, Readiness, Registration, tcp_interest};

use crate::connect::Connect;
use crate::error::{Error, Phase};
use crate::target::Target;
use crate::tcp::calls::SLICES_MAX;
use crate::tcp::split::{self, OwnedReadHalf, OwnedWriteHalf};

/// A TCP connection, with a deadline and a timeout on each side.
///
/// Every method takes `&self`: one task may read while another writes; of several that wait on the
/// same side each gets its turn. It belongs to the runtime of the thread it was made on, and is `!Send`.
///
/// What holds for every operation:
/// - It ends once: with its result or one [`Error`] that says which [kind](Error::kind) of thing ended it.
/// - One that begins after its deadline ends at once and leaves the socket alone, even if it could have
///   succeeded. One that waits when its deadline comes tries once more first. So after a timeout nothing
///   has been read or sent but what [`Error::transferred`] says.
/// - A deadline is sticky: later operations fail as well, until it is cleared or moved.
/// - Unless its documentation says otherwise, it is cancel-safe: dropped before it is ready, it has done
///   nothing.
///
/// Through `AsyncRead` and `AsyncWrite` a deadline holds in the same way, but a **timeout** cannot be told when an
/// operation is given up, as by `select`: that of a read which was given up goes on until the next read
/// completes or runs into it. Where that matters, use [`read`](TcpStream::read) and its kin, whose futures take
/// their timeout along when they are dropped, or set a deadline.
///
/// A peer that has gone is an error (`Kernel(EPIPE)` or `Kernel(ECONNRESET)`), never a `SIGPIPE`:
/// everything is sent with `MSG_NOSIGNAL` (send(2)).
pub struct TcpStream {
    io: Registration<mio::net::TcpStream>,
    peer: SocketAddr,
    /// The errno that broke the connection, or 0. The kernel tells it once, to whoever asks first, and the
    /// other side would read a clean end.
    pub(super) broken: Cell<i32>,
}

/// The largest discarded at a time while closing in good order.
const DISCARD: usize = 16 * 1024;

impl TcpStream {
    /// Connects within 30 s, names resolved included; see [`Connect`] for other bounds and more.
    ///
    /// # Errors
    /// As [`Connect::connect`].
    #[track_caller]
    pub fn connect(target: impl Into<Target>) -> impl Future<Output = Result<TcpStream, Error>> {
        Connect::to(target).connect()
    }

    /// Connects within `budget`, names resolved included.
    ///
    /// # Errors
    /// As [`Connect::connect`].
    #[track_caller]
    pub fn connect_timeout(
        target: impl Into<Target>,
        budget: Duration,
    ) -> impl Future<Output = Result<TcpStream, Error>> {
        Connect::to(target).timeout(budget).connect()
    }

    /// Takes over a connected socket of the standard library.
    ///
    /// # Errors
    /// What the kernel says of the registration, or that the socket is not connected.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> Result<TcpStream, Error> {
        let peer = stream.peer_addr().map_err(|error| Error::kernel(Phase::Configure, error))?;
        stream.set_nonblocking(true).map_err(|error| Error::kernel(Phase::Configure, error))?;
        TcpStream::adopt(mio::net::TcpStream::from_std(stream), peer, Phase::Configure)
    }

    /// Gives it back as a stream of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::net::TcpStream, Error> {
        let TcpStream { io, peer, .. } = self;
        let closed = || Error::failed(Phase::Configure, Failure::Closed).with_peer(peer);
        io.into_inner().map(std::net::TcpStream::from).ok_or_else(closed)
    }

    /// Registers a connected socket; both sides are worth a try at once.
    #[track_caller]
    pub(crate) fn adopt(io: mio::net::TcpStream, peer: SocketAddr, phase: Phase) -> Result<Self, Error> {
        #[cfg(target_vendor = "apple")]
        let _ = socket2::SockRef::from(&io).set_nosigpipe(true);
        let registration =
            Registration::new(io, tcp_interest(), Readiness::READABLE | Readiness::WRITABLE)
                .map_err(|error| Error::kernel(phase, error).with_peer(peer))?;
        Ok(TcpStream::over(registration, peer))
    }

    pub(crate) fn over(io: Registration<mio::net::TcpStream>, peer: SocketAddr) -> TcpStream {
        io.trust_short_reads();
        TcpStream { io, peer, broken: Cell::new(0) }
    }

    /// Reads what has come, up to the length of `buffer`, or waits for it. `Ok(0)` is the end of what the
    /// peer sends, or an empty `buffer`.
    ///
    /// # Errors
    /// A deadline or timeout of the read side, a cancel, a close, or what the kernel says, as
    /// `Kernel(ECONNRESET)`.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.trivial_if(buffer.is_empty(), Direction::Read);
        let done = self.io.operate(Direction::Read, |io| {
            if buffer.is_empty() {
                return Ok(Done::new(0));
            }
            let asked = buffer.len();
            self.received((&*io).read(buffer)).map(|bytes| Done::bytes(bytes, asked))
        });
        done.await.map_err(|failure| self.read_failed(failure))
    }

    /// As [`read`](TcpStream::read), into several buffers in turn (readv(2)).
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let asked = buffers.iter().take(SLICES_MAX).map(|buffer| buffer.len()).sum();
        self.trivial_if(asked == 0, Direction::Read);
        let done = self.io.operate(Direction::Read, |io| {
            if asked == 0 {
                return Ok(Done::new(0));
            }
            self.received((&*io).read_vectored(buffers)).map(|bytes| Done::bytes(bytes, asked))
        });
        done.await.map_err(|failure| self.read_failed(failure))
    }

    /// As [`read`](TcpStream::read), but leaves the bytes to be read again.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.trivial_if(buffer.is_empty(), Direction::Read);
        let done = self.io.operate(Direction::Read, |io| {
            if buffer.is_empty() {
                return Ok(Done::new(0));
            }
            self.received(io.peek(buffer)).map(Done::new)
        });
        done.await.map_err(|failure| self.read_failed(failure))
    }

    /// Fills `buffer`. It is one operation: the read timeout bounds the whole of it, however the bytes drip.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read), and `UnexpectedEof`. The front of `buffer` then holds the
    /// [`transferred`](Error::transferred) bytes: go on from there, and no byte is lost.
    ///
    /// Not cancel-safe: dropped midway, it leaves the bytes in `buffer` without saying how many.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let asked = buffer.len();
        self.trivial_if(asked == 0, Direction::Read);
        let mut filled = 0;
        let done = self.io.operate(Direction::Read, |io| {
            if filled == asked {
                return Ok(Done::new(()));
            }
            let rest = &mut buffer[filled..];
            let room = rest.len();
            match self.received((&*io).read(rest))? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                bytes => {
                    filled += bytes;
                    let step = Done::step(bytes, room);
                    Ok(if filled == asked { step.ends_with(()) } else { step })
                }
            }
        });
        let done = done.await;
        done.map_err(|failure| self.failed(Phase::Read, failure).with_transferred(filled))
    }

    /// Writes what the kernel takes of `buffer`, or waits until it takes some. `Ok(0)` only for an empty one.
    ///
    /// # Errors
    /// A deadline or timeout of the write side, a cancel, a close, or what the kernel says, as
    /// `Kernel(EPIPE)`.
    pub async fn write(&self, buffer: &[u8]) -> Result<usize, Error> {
        self.trivial_if(buffer.is_empty(), Direction::Write);
        let done = self.io.operate(Direction::Write, |io| self.send(io, buffer));
        done.await.map_err(|failure| self.failed(Phase::Write, failure))
    }

    /// As [`write`](TcpStream::write), from several buffers in turn (sendmsg(2)).
    ///
    /// # Errors
    /// As [`write`](TcpStream::write).
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.trivial_if(buffers.iter().all(|buffer| buffer.is_empty()), Direction::Write);
        let done = self.io.operate(Direction::Write, |io| self.send_vectored(io, buffers));
        done.await.map_err(|failure| self.failed(Phase::Write, failure))
    }

    /// Writes all of `buffer`. It is one operation: the write timeout bounds the whole of it.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write). The kernel has then taken the first
    /// [`transferred`](Error::transferred) bytes: do not send them again.
    ///
    /// Not cancel-safe: dropped midway, some may have been sent, without saying how many.
    pub async fn write_all(&self, buffer: &[u8]) -> Result<(), Error> {
        self.trivial_if(buffer.is_empty(), Direction::Write);
        let mut sent = 0;
        let done = self.io.operate(Direction::Write, |io| {
            let rest = &buffer[sent..];
            if rest.is_empty() {
                return Ok(Done::new(()));
            }
            let bytes = self.send_some(io, rest)?;
            sent += bytes;
            let step = Done::step(bytes, rest.len());
            Ok(if sent == buffer.len() { step.ends_with(()) } else { step })
        });
        let done = done.await;
        done.map_err(|failure| self.failed(Phase::Write, failure).with_transferred(sent))
    }

    /// Ends one side or both (shutdown(2)); operations that wait there see it. It may be repeated, and
    /// a connection that the peer has ended already is no error.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.end(how).map_err(|failure| self.failed(Phase::Shutdown, failure))
    }

    fn end(&self, how: Shutdown) -> Result<(), Failure> {
        match self.io.get_ref().ok_or(Failure::Closed)?.shutdown(how) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Err(Failure::Io(error)),
            _ => Ok(()),
        }
    }

    /// Closes it. What waits on it ends as `Closed` in the next turn, and so does everything later. If the
    /// peer has sent what was not read, the kernel resets the connection, and with it what was written
    /// last: see [`close_in_order`](TcpStream::close_in_order).
    pub fn close(&self) {
        self.io.close();
    }

    /// Ends the writing side, reads and discards what the peer still sends until it has ended too, for at
    /// most `within`, then closes. So what was written last arrives, also at a peer that is still sending
    /// (RFC 9112, section 9.6). Returns how many bytes were discarded. The stream is closed in any case.
    ///
    /// The peer is given `within` from this call on, whatever deadline and timeout the read side had.
    ///
    /// # Errors
    /// `Timeout` if the peer has not ended by then, or what the kernel says; the phase is `Shutdown`.
    #[track_caller]
    pub fn close_in_order(&self, within: Duration) -> impl Future<Output = Result<u64, Error>> + '_ {
        let deadline = Instant::now() + within;
        let set_at = Location::caller();
        async move {
            let discarded = self.discard(deadline).await.map_err(|failure| {
                self.failed(Phase::Shutdown, failure).with_deadline(|info| {
                    // Another thread may have moved it meanwhile.
                    if info.deadline == deadline {
                        info.budget = Some(within);
                        info.set_at = Some(set_at);
                        info.before_it_began = false;
                    }
                })
            });
            self.close();
            discarded
        }
    }

    async fn discard(&self, deadline: Instant) -> Result<u64, Failure> {
        self.io.set_timeout(Direction::Read, None)?;
        self.io.set_deadline(Direction::Read, Some(deadline))?;
        self.end(Shutdown::Write)?;
        let mut discarded = 0;
        let done = self.io.operate(Direction::Read, |mut io| {
            // Here it is on the stack, and not in every future that waits.
            let mut scratch = [0; DISCARD];
            let bytes = self.received(io.read(&mut scratch))?;
            discarded += bytes as u64;
            let step = Done::step(bytes, DISCARD);
            Ok(if bytes == 0 { step.ends_with(discarded) } else { step })
        });
        done.await
    }

    /// Two owned halves, for two tasks. Dropping the writing half ends the writing side; deadlines and
    /// timeouts of the other stay as they are. [`OwnedReadHalf::reunite`] undoes it.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::split(Rc::new(self))
    }

    /// The address of the other end, as it was when the connection was made.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn io(&self) -> &Registration<mio::net::TcpStream> {
        &self.io
    }

    pub(crate) fn failed(&self, phase: Phase, failure: Failure) -> Error {
        Error::failed(phase, failure).with_peer(self.peer)
    }

    /// Of a single read, whose timeout is an idle timeout.
    pub(crate) fn read_failed(&self, failure: Failure) -> Error {
        self.failed(Phase::Read, failure).with_deadline(|info| info.idle = true)
    }

    /// An operation on nothing waits for nothing, but a deadline that has passed still ends it.
    pub(crate) fn trivial_if(&self, nothing: bool, direction: Direction) {
        if nothing {
            // A closed stream says so in the operation itself.
            let _ = self.io.assume(match direction {
                Direction::Read => Readiness::READABLE,
                Direction::Write => Readiness::WRITABLE,
            });
        }
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("peer", &self.peer)
            .field("token", &self.io.token())
            .field("read_deadline", &self.io.deadline(Direction::Read))
            .field("write_deadline", &self.io.deadline(Direction::Write))
            .field("open", &self.io.get_ref().is_some())
            .finish()
    }
}
