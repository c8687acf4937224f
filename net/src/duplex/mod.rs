//! [`Duplex`]: a stream in memory, under deadlines as any other.

mod link;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;

use punctual_reactor::{Readiness, Registration};

use crate::error::Error;
use crate::socket::Socket;
use crate::socket::transport::{Memory, StreamTransport, Transport, sealed};
use link::End;

/// One end of a stream in memory, made by [`duplex`](duplex()), with a deadline and a timeout on each side: a [`Socket`],
/// where it says what holds for every operation.
///
/// It has no descriptor: operations that wait on it do not stop a
/// [virtual clock](punctual_reactor::VirtualClock).
///
/// Ends end as those of a Unix stream do (unix(7)):
/// - After [`shutdown`](Socket::shutdown) of the writing side the peer reads what was written, then the end. After
///   that of the reading side what had come can be read, then the end; the peer's writes fail with `Kernel(EPIPE)`.
/// - When one end is closed or dropped, the other reads what was written, then the end, and its writes fail with
///   `Kernel(EPIPE)`.
/// - If the end that has gone had not read all, what it had written can be read, and then both reads and
///   writes fail with `Kernel(ECONNRESET)`, for good.
pub type Duplex = Socket<Memory>;

/// Two streams that are connected to each other, in memory. Each way holds at most `capacity` bytes that were
/// written and not read (0 counts as 1); then writes wait for the reader. Nothing is allocated for them before they
/// are written.
///
/// Who waits for the other end is woken in the next turn, as by the kernel. Both ends belong to the runtime of this
/// thread.
///
/// # Panics
/// Outside of a runtime.
///
/// ```
/// use std::time::Duration;
/// use punctual_net::duplex;
/// use punctual_reactor::{Runtime, VirtualClock};
///
/// let runtime = Runtime::builder().clock(VirtualClock::new()).build()?;
/// runtime.block_on(async {
///     let (client, server) = duplex(64 * 1024);
///     client.write_all(b"ping").await?;
///     server.set_read_timeout(Some(Duration::from_secs(30)))?;
///     let mut buffer = [0; 8];
///     assert_eq!(server.read(&mut buffer).await?, 4);
///
///     // An idle timeout of half a minute, tested in no time at all, and exactly.
///     let error = server.read(&mut buffer).await.expect_err("the client says no more");
///     assert!(error.is_timeout());
///     assert_eq!(error.deadline().map(|info| info.lateness()), Some(Duration::ZERO));
///     Ok::<(), punctual_net::Error>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[track_caller]
pub fn duplex(capacity: usize) -> (Duplex, Duplex) {
    let (left, right) = link::pair(capacity.max(1));
    (Duplex::over(left), Duplex::over(right))
}

impl Duplex {
    #[track_caller]
    fn over(end: End) -> Duplex {
        let (io, set_readiness) = Registration::in_memory(end, Readiness::WRITABLE);
        if let Some(end) = io.get_ref() {
            end.tell_through(set_readiness);
        }
        io.set_subject("a stream in memory");
        Socket::assemble(io, ())
    }
}

impl Transport for Memory {}
impl StreamTransport for Memory {}

impl sealed::Kind for Memory {
    type Io = End;
    /// They have none.
    type Names = ();
    type Address = std::convert::Infallible;
    const TYPE: &'static str = "Duplex";

    fn explain(_: &Duplex, error: Error) -> Error {
        error.with_target("a stream in memory")
    }
}

impl sealed::Stream for Memory {
    fn read(end: &End, buffer: &mut [u8]) -> io::Result<usize> {
        end.read(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(end: &End, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        end.read(buffers)
    }

    fn peek(end: &End, buffer: &mut [u8]) -> io::Result<usize> {
        end.peek(buffer)
    }

    fn write(end: &End, bytes: &[u8]) -> io::Result<usize> {
        end.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(end: &End, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        end.write(buffers)
    }

    fn shutdown(end: &End, how: Shutdown) -> io::Result<()> {
        end.shutdown(how);
        Ok(())
    }
}
