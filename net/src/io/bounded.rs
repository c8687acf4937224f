//! [`Bounded`]: any stream, under deadlines.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::Instant;

use crate::error::{Error, Phase};
use crate::io::Throughput;
use crate::io::guard::Guard;
use crate::io::throughput::Meter;

/// Any reader or writer, with a deadline, a timeout and a least throughput on each side.
///
/// For streams that have none of their own: those of other crates, in memory, or with a protocol on top. The bounds
/// are those of [`TcpStream`](crate::TcpStream), with the same words:
/// - a **deadline** is a moment, and sticky; one that has passed lets no operation touch the stream;
/// - a **timeout** is given to each operation anew: on reads an idle timeout;
/// - a [**least throughput**](Throughput) is judged over the time spent waiting for the stream alone: who reads
///   seldom is not taken for a peer that sends slowly.
///
/// An operation also ends with the [scope](punctual_reactor::scope) it began in, whatever the stream knows of scopes.
///
/// What waits when a bound is reached tries once more first. The error is a `Timeout`, in `Phase::Read` or
/// `Phase::Write` (flushing and closing included), and travels inside the `io::Error`.
///
/// [`read`](Bounded::read) and [`write`](Bounded::write) take their timeout along when they are dropped. Through the
/// traits nobody says that an operation is given up: there its time goes on counting until the next completes, or
/// until it runs out unseen or its scope is left, after which the next begins anew.
///
/// ```
/// # use punctual_reactor::Runtime;
/// # Runtime::new()?.block_on(async {
/// use std::time::Duration;
/// use punctual_net::io::{Bounded, Throughput, read_to_end};
///
/// let body: &[u8] = b"a body that comes from somewhere";
/// let slow = Throughput::per_second(500);
/// let body = Bounded::new(body).read_timeout(Duration::from_secs(30)).read_throughput(slow);
/// assert_eq!(read_to_end(body, 1 << 20).await?.len(), 32);
/// # Ok::<(), punctual_net::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    read: Guard,
    write: Guard,
}

impl<S> Bounded<S> {
    /// Under no bounds yet.
    #[must_use]
    pub fn new(stream: S) -> Bounded<S> {
        Bounded { stream, read: Guard::new(Phase::Read), write: Guard::new(Phase::Write) }
    }

    /// No operation goes on after `deadline`.
    #[must_use]
    #[track_caller]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> Bounded<S> {
        self.set_deadline(Some(deadline.into()));
        self
    }

    /// Each read has so much time.
    #[must_use]
    #[track_caller]
    pub fn read_timeout(mut self, within: Duration) -> Bounded<S> {
        self.read.timeout = Some((within, Location::caller()));
        self
    }

    /// Each write has so much time, and so has each flush and close.
    #[must_use]
    #[track_caller]
    pub fn write_timeout(mut self, within: Duration) -> Bounded<S> {
        self.write.timeout = Some((within, Location::caller()));
        self
    }

    /// So much must come while reads wait.
    #[must_use]
    pub fn read_throughput(mut self, floor: Throughput) -> Bounded<S> {
        self.read.meter = Some(Meter::new(floor));
        self
    }

    /// So much must be taken while writes wait.
    #[must_use]
    pub fn write_throughput(mut self, floor: Throughput) -> Bounded<S> {
        self.write.meter = Some(Meter::new(floor));
        self
    }

    /// Sets or clears the deadline of both sides.
    #[track_caller]
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.set_read_deadline(deadline);
        self.set_write_deadline(deadline);
    }

    /// Sets or clears the deadline of reads.
    #[track_caller]
    pub fn set_read_deadline(&mut self, deadline: Option<Instant>) {
        let set_at = Location::caller();
        self.read.deadline = deadline.map(|deadline| (deadline, set_at));
    }

    /// Sets or clears the deadline of writes.
    #[track_caller]
    pub fn set_write_deadline(&mut self, deadline: Option<Instant>) {
        let set_at = Location::caller();
        self.write.deadline = deadline.map(|deadline| (deadline, set_at));
    }

    /// The stream.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream. What is done with it directly is under no bound.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, without its bounds.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> Bounded<S> {
    /// Reads what has come, or waits for it; `Ok(0)` is the end, or an empty `buffer`.
    ///
    /// # Errors
    /// A bound of the read side, or what the stream says; one of ours inside comes out whole.
    ///
    /// Cancel-safe as far as the stream is; dropped, it takes its timeout along.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read.hold();
        let operation = Ends(self, |bounded| &mut bounded.read);
        let read = poll_fn(|cx| Pin::new(&mut *operation.0).poll_read(cx, buffer)).await;
        read.map_err(|error| Error::kernel(Phase::Read, error))
    }
}

impl<S: AsyncWrite + Unpin> Bounded<S> {
    /// Writes what the stream takes, or waits until it takes some.
    ///
    /// # Errors
    /// A bound of the write side, or what the stream says; one of ours inside comes out whole.
    ///
    /// Cancel-safe as far as the stream is; dropped, it takes its timeout along.
    pub async fn write(&mut self, buffer: &[u8]) -> Result<usize, Error> {
        self.write.hold();
        let operation = Ends(self, |bounded| &mut bounded.write);
        let written = poll_fn(|cx| Pin::new(&mut *operation.0).poll_write(cx, buffer)).await;
        written.map_err(|error| Error::kernel(Phase::Write, error))
    }
}

/// An operation that is over when this is dropped.
struct Ends<'a, S>(&'a mut Bounded<S>, fn(&mut Bounded<S>) -> &mut Guard);

impl<S> Drop for Ends<'_, S> {
    fn drop(&mut self) {
        self.1(self.0).give_up();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Bounded { stream, read, .. } = &mut *self;
        read.poll(cx, |bytes| *bytes, |cx| Pin::new(stream).poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Bounded { stream, write, .. } = &mut *self;
        write.poll(cx, |bytes| *bytes, |cx| Pin::new(stream).poll_write(cx, buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Bounded { stream, write, .. } = &mut *self;
        write.poll(cx, |()| 0, |cx| Pin::new(stream).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Bounded { stream, write, .. } = &mut *self;
        write.poll(cx, |()| 0, |cx| Pin::new(stream).poll_close(cx))
    }
}
