//! [`AsyncFd`]: any descriptor that can be polled, under deadlines.

use std::cell::Ref;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use crate::event::Cause;
use crate::failure::Failure;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::operation::Done;
use crate::readiness::{Direction, Readiness};
use crate::registration::Registration;
use crate::sys;
use crate::token::Token;
use crate::waits::Subject;

/// A descriptor of any kind (pipe, eventfd, timerfd, terminal, inotify …) with a deadline on each side.
///
/// `T` is what owns it, as an `OwnedFd` or a `std::io::PipeReader`, or a borrow of that. It must go on to name the
/// descriptor that it named when it was registered.
///
/// ```
/// use std::io::{Read, Write};
/// use punctual_reactor::{AsyncFd, Direction, Done, Runtime};
///
/// Runtime::new()?.block_on(async {
///     let (reader, mut writer) = std::io::pipe()?;
///     let reader = AsyncFd::new(reader)?;
///     writer.write_all(b"news")?;
///     let mut buffer = [0; 16];
///     let read = reader.operate(Direction::Read, |mut pipe| pipe.read(&mut buffer).map(Done::new)).await;
///     assert_eq!(read.expect("no deadline was set"), 4);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// Bounds, cancelling and closing are those of a [`Registration`]. Dropping it deregisters before `T` is dropped.
pub struct AsyncFd<T: AsFd> {
    io: Registration<Watched<T>>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers `inner` for both sides with the runtime of this thread, and makes it non-blocking.
    ///
    /// `O_NONBLOCK` belongs to the open file description: every duplicate has it from then on, also in other
    /// processes, as those that share a terminal, and it stays when this is dropped. Where that is not wanted, use
    /// [`as_it_is`](AsyncFd::as_it_is).
    ///
    /// # Errors
    /// [`RegisterError`], with `inner` in it.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new(inner: T) -> Result<AsyncFd<T>, RegisterError<T>> {
        match sys::set_nonblocking(inner.as_fd()) {
            Ok(()) => AsyncFd::as_it_is(inner, Interest::READABLE | Interest::WRITABLE),
            Err(error) => Err(RegisterError::new(error, inner)),
        }
    }

    /// Registers `inner` and leaves its flags alone: for what is non-blocking already, never blocks (a pidfd), or is
    /// only asked for its readiness. A system call that blocks would hold up the loop.
    ///
    /// # Errors
    /// [`RegisterError`], with `inner` in it.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn as_it_is(inner: T, interest: Interest) -> Result<AsyncFd<T>, RegisterError<T>> {
        let number = inner.as_fd().as_raw_fd();
        let watched = Watched { number, inner };
        // What can be had is found out by trying: an edge that came before is not repeated.
        let assume = match (interest.is_readable(), interest.is_writable()) {
            (true, false) => Readiness::READABLE,
            (false, true) => Readiness::WRITABLE,
            _ => Readiness::READABLE | Readiness::WRITABLE,
        };
        match Registration::try_new(watched, interest, assume) {
            Ok(io) => {
                io.set_subject(Subject::Descriptor(number));
                Ok(AsyncFd { io })
            }
            Err((error, watched)) => Err(RegisterError::new(error, watched.inner)),
        }
    }

    /// Runs one operation: calls `attempt` whenever the side is ready, until it does not say `WouldBlock`.
    /// See [`Registration::operate`].
    ///
    /// Cancel-safe if `attempt` is.
    pub fn operate<R, F>(
        &self,
        direction: Direction,
        mut attempt: F,
    ) -> impl Future<Output = Result<R, Failure>> + use<'_, T, R, F>
    where
        F: FnMut(&T) -> io::Result<Done<R>> + Unpin,
    {
        self.io.operate(direction, move |watched| attempt(&watched.inner))
    }

    /// As [`operate`](AsyncFd::operate), for poll-based interfaces. See [`Registration::poll_operate`].
    ///
    /// # Errors
    /// [`Failure`].
    pub fn poll_operate<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut attempt: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<Result<R, Failure>> {
        self.io.poll_operate(cx, direction, |watched| attempt(&watched.inner))
    }

    /// Waits until a read would not block, by `poll(2)`'s account; an end and an error count. Somebody else who
    /// reads from it may be faster. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn readable(&self) -> Result<(), Failure> {
        self.ready(Direction::Read).await
    }

    /// Waits until a write would not block, by `poll(2)`'s account; a broken pipe counts. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn writable(&self) -> Result<(), Failure> {
        self.ready(Direction::Write).await
    }

    async fn ready(&self, direction: Direction) -> Result<(), Failure> {
        let ask = move |inner: &T| match sys::is_ready(inner.as_fd(), direction)? {
            true => Ok(Done::new(())),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        self.operate(direction, ask).await
    }

    /// Sets what the [audit](crate::waits) calls an operation on a side; see [`Registration::set_label`].
    pub fn set_label(&self, direction: Direction, label: &'static str) {
        self.io.set_label(direction, label);
    }

    /// As [`set_label`](AsyncFd::set_label), for what may well wait for ever; see [`Registration::set_idle_label`].
    pub fn set_idle_label(&self, direction: Direction, label: &'static str) {
        self.io.set_idle_label(direction, label);
    }

    /// Sets with whom or what its operations wait, for the [audit](crate::waits) to say: at first its number.
    pub fn set_subject(&self, subject: impl Into<Subject>) {
        self.io.set_subject(subject);
    }

    /// Its name, with which a [`Handle`](crate::Handle) reaches it from other threads.
    #[must_use]
    pub fn token(&self) -> Token {
        self.io.token()
    }

    /// What it was made from, unless it was closed. Let go of it soon: [`close`](AsyncFd::close) panics while it
    /// is lent.
    #[must_use]
    pub fn get_ref(&self) -> Option<Ref<'_, T>> {
        self.io.get_ref().map(|watched| Ref::map(watched, |watched| &watched.inner))
    }

    /// Sets or clears the absolute deadline of a side; operations that wait observe it.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    #[track_caller]
    pub fn set_deadline(&self, direction: Direction, deadline: Option<Instant>) -> Result<(), Failure> {
        self.io.set_deadline(direction, deadline)
    }

    /// Gives each operation on a side that begins from now on at most `timeout`.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    #[track_caller]
    pub fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> Result<(), Failure> {
        self.io.set_timeout(direction, timeout)
    }

    /// Sets the widest leeway of its deadlines.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    pub fn set_leeway(&self, leeway: Leeway) -> Result<(), Failure> {
        self.io.set_leeway(leeway)
    }

    /// Ends its operations, those to come included, with `cause`.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.io.cancel(cause);
    }

    /// Deregisters and drops what it was made from; operations that wait end with [`Failure::Closed`].
    pub fn close(&self) {
        self.io.close();
    }

    /// Deregisters, then gives back what it was made from, unless it was closed. `O_NONBLOCK` stays.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.io.into_inner().map(|watched| watched.inner)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AsyncFd");
        debug.field("token", &self.token()).field("inner", &self.get_ref().as_deref()).finish()
    }
}

/// A descriptor as mio takes it, by its number.
struct Watched<T> {
    number: RawFd,
    inner: T,
}

impl<T> Source for Watched<T> {
    fn register(&mut self, to: &Registry, token: mio::Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.number).register(to, token, interest)
    }

    fn reregister(&mut self, to: &Registry, token: mio::Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.number).reregister(to, token, interest)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        SourceFd(&self.number).deregister(from)
    }
}

/// A descriptor could not be registered. It is still in here, open and unchanged but for its `O_NONBLOCK`.
pub struct RegisterError<T> {
    kind: RegisterErrorKind,
    error: io::Error,
    inner: T,
}

/// Why a descriptor could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// It is a regular file or a directory: never not ready, so there is nothing to wait for.
    AlwaysReady,
    /// This descriptor is registered with this runtime already.
    AlreadyRegistered,
    /// It is closed, or never was open.
    NotOpen,
    /// Anything else that the kernel says, as that there is no memory for it.
    Kernel,
}

impl<T> RegisterError<T> {
    fn new(error: io::Error, inner: T) -> RegisterError<T> {
        let kind = match error.raw_os_error() {
            Some(libc::EPERM) => RegisterErrorKind::AlwaysReady,
            Some(libc::EEXIST) => RegisterErrorKind::AlreadyRegistered,
            Some(libc::EBADF) => RegisterErrorKind::NotOpen,
            _ => RegisterErrorKind::Kernel,
        };
        RegisterError { kind, error, inner }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> RegisterErrorKind {
        self.kind
    }

    /// What the kernel said.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// What was to be registered.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> fmt::Display for RegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RegisterErrorKind::AlwaysReady => {
                f.write_str("regular files are always ready: nothing can be waited for; use `fs::File`")
            }
            RegisterErrorKind::AlreadyRegistered => {
                f.write_str("this descriptor is registered with this runtime already")
            }
            RegisterErrorKind::NotOpen => f.write_str("this descriptor is not open"),
            RegisterErrorKind::Kernel => write!(f, "cannot watch this descriptor: {}", self.error),
        }
    }
}

impl<T> fmt::Debug for RegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegisterError({:?}: {self})", self.kind)
    }
}

impl<T> std::error::Error for RegisterError<T> {}

impl<T> From<RegisterError<T>> for io::Error {
    /// Drops the descriptor; the words stay.
    fn from(error: RegisterError<T>) -> io::Error {
        io::Error::new(error.error.kind(), error.to_string())
    }
}
