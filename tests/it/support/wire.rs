//! A Unix stream pair as operations on a [`Registration`]: the least I/O there is.

use std::io::{ErrorKind, Read, Write};

use mio::net::UnixStream;
use punctual::reactor::{Direction, Done, Failure, Interest, Readiness, Registration};
use punctual::{JoinHandle, spawn};

/// One end.
pub(crate) struct Wire {
    pub(crate) io: Registration<UnixStream>,
}

/// A connected pair, registered with the runtime of this thread.
pub(crate) fn pair() -> (Wire, Wire) {
    let (left, right) = UnixStream::pair().expect("a socket pair");
    (Wire::new(left), Wire::new(right))
}

impl Wire {
    pub(crate) fn new(stream: UnixStream) -> Wire {
        let io = Registration::new(stream, Interest::READABLE | Interest::WRITABLE, Readiness::WRITABLE);
        Wire { io: io.expect("a registration") }
    }

    /// Reads what there is; 0 at the end.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let asked = buffer.len();
        let read = |mut io: &UnixStream| io.read(buffer).map(|bytes| Done::bytes(bytes, asked));
        self.io.operate(Direction::Read, read).await
    }

    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let asked = bytes.len();
        let write = |mut io: &UnixStream| io.write(bytes).map(|sent| Done::bytes(sent, asked));
        self.io.operate(Direction::Write, write).await
    }

    pub(crate) async fn read_byte(&self) -> Result<u8, Failure> {
        let mut byte = [0];
        match self.read(&mut byte).await? {
            0 => Err(Failure::Io(ErrorKind::UnexpectedEof.into())),
            _ => Ok(byte[0]),
        }
    }

    /// Sends a byte and waits for it to come back.
    pub(crate) async fn round_trip(&self, byte: u8) -> Result<(), Failure> {
        self.write(&[byte]).await?;
        let back = self.read_byte().await?;
        assert_eq!(back, byte, "an echo brings back what was sent");
        Ok(())
    }
}

/// Sends back whatever comes, until the end or a failure; returns how many bytes that were.
pub(crate) fn spawn_echo(wire: Wire) -> JoinHandle<Result<usize, Failure>> {
    spawn(async move {
        let (mut total, mut buffer) = (0, [0; 256]);
        loop {
            let read = wire.read(&mut buffer).await?;
            if read == 0 {
                return Ok(total);
            }
            let mut sent = 0;
            while sent < read {
                sent += wire.write(&buffer[sent..read]).await?;
            }
            total += read;
        }
    })
}

/// Keeps the loop of this thread awake: sends a byte back and forth until it is aborted.
pub(crate) async fn bounce() {
    let (left, right) = pair();
    let _echo = spawn_echo(right);
    for round in 0u64.. {
        let echoed = left.round_trip(round as u8).await;
        assert!(echoed.is_ok(), "the echo failed: {echoed:?}");
    }
}
