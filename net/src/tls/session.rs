//! [`Session`]: the state of TLS on one stream, and what moves its records.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use punctual_reactor::{Beside, Done};
use rustls::{Connection, ProtocolVersion};

use super::failure;
use crate::error::Phase;
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// The most of a write that is encrypted before the transport has taken it, in bytes.
const UNSENT_MAX: usize = 64 * 1024;

/// The state of TLS on one stream. It is borrowed for the length of one attempt, never across a wait.
pub(super) struct Session {
    connection: RefCell<Connection>,
    /// What was agreed on, once the handshake is over.
    pub(super) alpn: OnceCell<Box<[u8]>>,
    /// Whether our direction has been ended.
    ended: Cell<bool>,
    /// Where what a polled read has to send waits.
    pub(super) sending: Beside,
}

impl Session {
    pub(super) fn new(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(UNSENT_MAX));
        Session {
            connection: RefCell::new(connection),
            alpn: OnceCell::new(),
            ended: Cell::new(false),
            sending: Beside::default(),
        }
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Connection) -> R) -> R {
        look(&self.connection.borrow())
    }

    /// Whether a read has its result without the transport: there is plaintext, or there will never be more.
    pub(super) fn has_result(&self) -> bool {
        let mut connection = self.connection.borrow_mut();
        let blocks = matches!(connection.reader().fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock);
        !blocks || connection.writer().flush().is_err()
    }

    /// One attempt to read: hands plaintext to `take`, which says how much of it it took, and none if there is no room.
    pub(super) fn try_read<T: StreamTransport>(
        &self,
        socket: &Socket<T>,
        io: &T::Io,
        take: &mut dyn FnMut(&[u8]) -> usize,
    ) -> io::Result<Done<usize>> {
        let connection = &mut *self.connection.borrow_mut();
        if let Some(taken) = plaintext(connection, take)? {
            return Ok(Done::bytes(taken, taken));
        }
        let (moved, asked) = pull(connection, socket, io)?;
        let step = Done::step(moved, asked);
        Ok(match plaintext(connection, take)? {
            Some(taken) => step.ends_with(taken),
            None => step,
        })
    }

    /// One attempt to write: what waits from before goes first, then as much of `buffers` as may wait in turn is
    /// encrypted and offered to the transport, all records in one system call.
    pub(super) fn try_write<T: StreamTransport>(
        &self,
        socket: &Socket<T>,
        io: &T::Io,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<Done<usize>> {
        let connection = &mut *self.connection.borrow_mut();
        if self.ended.get() {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        push(connection, socket, io)?;
        let taken = match buffers {
            [one] => connection.writer().write(one),
            several => connection.writer().write_vectored(several),
        };
        let taken = taken.map_err(|error| failure::of_io(Phase::Write, error))?;
        match push(connection, socket, io) {
            Ok(()) => Ok(Done::bytes(taken, taken)),
            // It is taken all the same, and goes with what comes next.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Ok(Done::bytes(taken.max(1), usize::MAX).ends_with(taken))
            }
            Err(error) => Err(error),
        }
    }

    /// One attempt to send what waits.
    pub(super) fn try_flush<T: StreamTransport>(
        &self,
        socket: &Socket<T>,
        io: &T::Io,
    ) -> io::Result<Done<()>> {
        push(&mut self.connection.borrow_mut(), socket, io)?;
        Ok(Done::new(()))
    }

    /// One attempt to end our direction: `close_notify` after all that waits, then the end of the transport's.
    pub(super) fn try_end<T: StreamTransport>(
        &self,
        socket: &Socket<T>,
        io: &T::Io,
    ) -> io::Result<Done<()>> {
        let connection = &mut *self.connection.borrow_mut();
        if !self.ended.replace(true) {
            connection.send_close_notify();
        }
        push(connection, socket, io)?;
        match T::shutdown(io, std::net::Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Err(error),
            _ => Ok(Done::new(())),
        }
    }

    /// One attempt to read for the handshake; an end of the stream is an error.
    pub(super) fn try_shake<T: StreamTransport>(
        &self,
        socket: &Socket<T>,
        io: &T::Io,
    ) -> io::Result<Done<()>> {
        let connection = &mut *self.connection.borrow_mut();
        let (moved, asked) = pull(connection, socket, io)?;
        if moved == 0 && connection.is_handshaking() {
            return Err(failure::handshake_cut(connection));
        }
        let step = Done::step(moved, asked);
        Ok(if connection.is_handshaking() && !connection.wants_write() {
            step
        } else {
            step.ends_with(())
        })
    }

    /// Whether there is something to be sent.
    pub(super) fn wants_write(&self) -> bool {
        self.connection.borrow().wants_write()
    }

    /// Whether the handshake is over but for the tickets of a server's (RFC 8446, section 4.6.1), which no client waits for.
    pub(super) fn has_tickets_only(&self) -> bool {
        let connection = &*self.connection.borrow();
        let is_server = matches!(connection, Connection::Server(_));
        is_server
            && !connection.is_handshaking()
            && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.borrow().is_handshaking()
    }

    /// The handshake is over: remembers what was agreed on.
    pub(super) fn established(&self) {
        if let Some(protocol) = self.connection.borrow().alpn_protocol() {
            let _ = self.alpn.set(protocol.into());
        }
    }
}

/// Hands decrypted bytes to `take`: how many it took. `None` if there are none yet.
fn plaintext(
    connection: &mut Connection,
    take: &mut dyn FnMut(&[u8]) -> usize,
) -> io::Result<Option<usize>> {
    let mut taken = 0;
    loop {
        let mut reader = connection.reader();
        let chunk = match reader.fill_buf() {
            Ok([]) => return Ok(Some(taken)),
            Ok(chunk) => chunk,
            Err(_) if taken > 0 => return Ok(Some(taken)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(failure::truncated()),
        };
        let (offered, some) = (chunk.len(), take(chunk));
        reader.consume(some);
        taken += some;
        if some < offered {
            return Ok(Some(taken));
        }
    }
}

/// Reads records once and processes them: how many bytes came, and for how many there was room.
fn pull<T: StreamTransport>(
    connection: &mut Connection,
    socket: &Socket<T>,
    io: &T::Io,
) -> io::Result<(usize, usize)> {
    // One that has failed stays failed.
    connection.writer().flush().map_err(|error| failure::of_io(Phase::Read, error))?;
    let mut wire = Wire { socket, io, asked: 0 };
    let moved = connection.read_tls(&mut wire)?;
    let asked = wire.asked;
    if let Err(error) = connection.process_new_packets() {
        // The peer is told why if that costs no waiting; we may not be able to any more.
        let _ = push(connection, socket, io);
        // What came before it is the caller's; the error stays.
        let nothing_before = !matches!(connection.reader().fill_buf(), Ok([_, ..]));
        if nothing_before {
            return Err(failure::error(Phase::Read, error).into());
        }
    }
    Ok((moved, asked))
}

/// Offers the transport what waits, until there is nothing left or it would block.
fn push<T: StreamTransport>(
    connection: &mut Connection,
    socket: &Socket<T>,
    io: &T::Io,
) -> io::Result<()> {
    while connection.wants_write() {
        match connection.write_tls(&mut Wire { socket, io, asked: 0 }) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            // Begun anew by whoever called, what it was given just now would be encrypted, and sent, a second time.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            sent => sent.map(drop)?,
        }
    }
    Ok(())
}

/// The transport as rustls wants it.
struct Wire<'a, T: StreamTransport> {
    socket: &'a Socket<T>,
    io: &'a T::Io,
    asked: usize,
}

impl<T: StreamTransport> Read for Wire<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.asked = buffer.len();
        self.socket.received(T::read(self.io, buffer))
    }
}

impl<T: StreamTransport> Write for Wire<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_send_some(self.io, bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match buffers {
            [one] => self.write(one),
            several => self.socket.sent(T::write_vectored(self.io, several)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
