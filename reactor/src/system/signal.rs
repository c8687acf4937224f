//! Signals as events: [`signal()`] and [`ctrl_c`] (feature `signal`).
//!
//! ```text
//!   SIGTERM ──▶ one handler of the process ──▶ a byte into each listener's socket ──▶ epoll ──▶ recv()
//!               (signal-hook-registry)         (send(2), which never waits)
//! ```
//!
//! The handler is signal-hook's: it calls what had been installed before it, and other libraries that use the same
//! registry have theirs called too. A signalfd was not taken: it needs the signal to be blocked in every
//! thread, also in those that libraries have started before, it silences everybody else's handlers, and child
//! processes inherit the blocked mask, so that a `SIGTERM` would not end them.

use std::fmt;
use std::io::{self, Read};
use std::task::{Context, Poll};
use std::time::Duration;

use mio::Interest;
use mio::net::UnixStream;
use signal_hook::SigId;
use signal_hook::low_level;

use crate::event::Cause;
use crate::failure::Failure;
use crate::instant::Instant;
use crate::opening::opening;
use crate::operation::Done;
use crate::readiness::{Direction, Readiness};
use crate::registration::Registration;
use crate::token::Token;

/// Which signal (`signal(7)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignalKind(libc::c_int);

impl SignalKind {
    /// `SIGALRM`: a timer of `alarm` or `setitimer` went off.
    pub const ALARM: SignalKind = SignalKind(libc::SIGALRM);
    /// `SIGCHLD`: a child process has ended, stopped or gone on.
    pub const CHILD: SignalKind = SignalKind(libc::SIGCHLD);
    /// `SIGHUP`: the terminal is gone; by custom, read the configuration again.
    pub const HANGUP: SignalKind = SignalKind(libc::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INTERRUPT: SignalKind = SignalKind(libc::SIGINT);
    /// `SIGKILL`: for sending only.
    pub const KILL: SignalKind = SignalKind(libc::SIGKILL);
    /// `SIGPIPE`: a write to a pipe that nobody reads.
    pub const PIPE: SignalKind = SignalKind(libc::SIGPIPE);
    /// `SIGQUIT`: Ctrl-\.
    pub const QUIT: SignalKind = SignalKind(libc::SIGQUIT);
    /// `SIGTERM`: please end.
    pub const TERMINATE: SignalKind = SignalKind(libc::SIGTERM);
    /// `SIGUSR1`.
    pub const USER1: SignalKind = SignalKind(libc::SIGUSR1);
    /// `SIGUSR2`.
    pub const USER2: SignalKind = SignalKind(libc::SIGUSR2);
    /// `SIGWINCH`: the terminal has another size.
    pub const WINDOW_CHANGE: SignalKind = SignalKind(libc::SIGWINCH);

    /// The signal with this number; one that does not exist is refused where it is used.
    #[must_use]
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Why it cannot be listened for, if so.
    fn forbidden(self) -> Option<&'static str> {
        match self.0 {
            libc::SIGKILL | libc::SIGSTOP => Some("the kernel lets nobody catch it"),
            libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL => {
                Some("it reports a fault of the instruction that runs, which would run again for ever")
            }
            _ => None,
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Listens for `kind` with the runtime of this thread.
///
/// From the first listener of a signal on, the process does not do by default what the signal says: a `SIGTERM` no longer
/// ends it. **That stays so when the last listener is dropped**: to put back the default silently would have the next
/// signal kill a process that thinks it handles it. Signals that come while nobody listens are then lost.
///
/// Each listener is told, on every runtime of the process; each costs two descriptors. Signals of a kind that come before a
/// listener is asked are told as one: what counts is that there was one since, not how many. The last is never lost.
///
/// # Errors
/// `InvalidInput` for a signal that nobody may catch (KILL, STOP) or that reports a fault (SEGV, BUS, FPE, ILL), or
/// does not exist; or what the kernel says of the descriptors.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signals> {
    if let Some(why) = kind.forbidden() {
        let refused = format!("cannot listen for {kind:?}: {why}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, refused));
    }
    let pair = std::os::unix::net::UnixStream::pair();
    let (receiver, sender) = pair.map_err(opening(format_args!("a listener for {kind:?}")))?;
    receiver.set_nonblocking(true)?;
    let receiver = UnixStream::from_std(receiver);
    let io = Registration::owning(receiver, Interest::READABLE, Readiness::NONE)?;
    io.set_idle_label(Direction::Read, "signal");
    io.set_subject(format!("{kind:?}"));
    let action = low_level::pipe::register(kind.0, sender).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("cannot listen for {kind:?}: {error}"))
        }
        _ => error,
    })?;
    Ok(Signals { kind, io, action })
}

/// Waits for a Ctrl-C (`SIGINT`), from the first time this is polled on.
///
/// Keep a [`Signals`] to miss none between two waits. As with any listener, the process no longer ends by Ctrl-C of its
/// own accord after the first call.
///
/// # Errors
/// [`Failure`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn ctrl_c() -> Result<(), Failure> {
    let signals = signal(SignalKind::INTERRUPT).map_err(Failure::Io)?;
    signals.recv().await
}

/// A listener for one signal; made by [`signal()`].
///
/// ```no_run
/// use std::time::Duration;
/// use punctual_reactor::signal::{SignalKind, signal};
/// use punctual_reactor::{Runtime, timeout};
///
/// Runtime::new()?.block_on(async {
///     let terminate = signal(SignalKind::TERMINATE)?;
///     match timeout(Duration::from_secs(60), terminate.recv()).await {
///         Ok(received) => received.expect("the runtime goes on"),
///         Err(_) => println!("nobody wants this to end"),
///     }
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// It reaches the loop through a descriptor in its poll, as a connection does, so bounds and cancelling are those of a
/// [`Registration`], and a virtual clock stands still while one waits.
pub struct Signals {
    kind: SignalKind,
    io: Registration<UnixStream>,
    action: SigId,
}

impl Signals {
    /// Waits for the signal; at once if one has come since the last time. Several tasks may wait on one listener, and
    /// one of them is told: give each its own.
    ///
    /// Cancel-safe: a signal is not taken by a wait that was dropped.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn recv(&self) -> Result<(), Failure> {
        self.io.operate(Direction::Read, take).await
    }

    /// As [`recv`](Signals::recv), for poll-based interfaces.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.io.poll_operate(cx, Direction::Read, take)
    }

    /// Which signal.
    #[must_use]
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// Its name, with which a [`Handle`](crate::Handle) reaches it from other threads.
    #[must_use]
    pub fn token(&self) -> Token {
        self.io.token()
    }

    /// Sets or clears the absolute deadline of its waits; one that waits observes it.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        // It is closed by its drop alone.
        let _ = self.io.set_deadline(Direction::Read, deadline);
    }

    /// Gives each wait that begins from now on at most `timeout`.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        let _ = self.io.set_timeout(Direction::Read, timeout);
    }

    /// Ends its waits, those to come included, with `cause`.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.io.cancel(cause);
    }

    /// As a source for others, who ask something else when a signal has come: what they learn first is theirs.
    #[cfg(feature = "process")]
    pub(crate) fn io(&self) -> &Registration<UnixStream> {
        &self.io
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        low_level::unregister(self.action);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("kind", &self.kind).field("token", &self.token()).finish()
    }
}

/// How often one look reads on: in a storm the socket may never be empty.
const READS_MAX: usize = 8;

/// Takes all that has come.
pub(crate) fn take(mut socket: &UnixStream) -> io::Result<Done<()>> {
    let mut bytes = [0; 1024];
    let mut came = false;
    for _ in 0..READS_MAX {
        match socket.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => came = true,
            Err(error) if came && error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if came { Ok(Done::new(())) } else { Err(io::ErrorKind::Interrupted.into()) }
}
