//! [`Watched`]: a child process and what tells of its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::Location;
use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;

use crate::executor::{Driver, Origin, context};
use crate::failure::Failure;
use crate::instant::Instant;
use crate::operation::Done;
use crate::readiness::{Direction, Readiness};
use crate::sys;
use crate::system::fd::AsyncFd;
use crate::system::process::orphans;
use crate::system::signal::{self, SignalKind, Signals, signal};
use crate::text::Text;
use crate::waits::Subject;

/// What the audit calls the wait for its end.
const CHILD_EXIT: &str = "child-exit";

/// A child that was started, until it is reaped. Dropped before that, it goes to the orphans.
pub(super) struct Watched {
    /// `None` once it was reaped, by whomever.
    child: Option<Child>,
    end: End,
    driver: Rc<Driver>,
}

/// What tells that a child may have ended.
enum End {
    /// Readable from then on, and a name that no later process gets.
    PidFd(AsyncFd<OwnedFd>),
    /// Some child has: this one is asked. Its number is its own until it is reaped, and only we reap it.
    Sigchld(Signals),
}

impl Watched {
    /// # Errors
    /// What the kernel says of the descriptors; the child is then killed, and reaped in the background.
    pub(super) fn new(mut child: Child) -> io::Result<Watched> {
        let driver = context::current("spawning a child process");
        match End::of(&child) {
            Ok(end) => Ok(Watched { child: Some(child), end, driver }),
            Err(error) => {
                let _ = child.kill();
                orphans::adopt(child);
                Err(error)
            }
        }
    }

    /// Its process id, as long as that is its own.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits for its end, and reaps it. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let Watched { child, end, .. } = self;
        match end {
            End::PidFd(fd) => fd.operate(Direction::Read, |_| ask(child).map(Done::new)).await,
            End::Sigchld(signals) => {
                let ask_after_a_signal = |socket: &mio::net::UnixStream| {
                    // What came is taken first: a child that ends after it was asked signals again.
                    match signal::take(socket) {
                        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                        _ => ask(child).map(Done::new),
                    }
                };
                signals.io().operate(Direction::Read, ask_after_a_signal).await
            }
        }
    }

    /// Its status if it has ended; it is then reaped.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match ask(&mut self.child) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends it a signal; one that was reaped is left alone.
    pub(super) fn signal(&self, kind: SignalKind) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let sent = match &self.end {
            End::PidFd(fd) => match fd.get_ref() {
                Some(fd) => sys::signal_process(fd.as_fd(), kind.as_raw()),
                None => Ok(()),
            },
            End::Sigchld(_) => sys::kill(child.id(), kind.as_raw()),
        };
        match sent {
            // It has ended, and somebody else has reaped it.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    #[track_caller]
    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        match &self.end {
            // Nobody closes it before it is dropped.
            End::PidFd(fd) => drop(fd.set_deadline(Direction::Read, deadline)),
            End::Sigchld(signals) => signals.set_deadline(deadline),
        }
    }

    #[track_caller]
    pub(super) fn set_timeout(&self, timeout: Option<Duration>) {
        match &self.end {
            End::PidFd(fd) => drop(fd.set_timeout(Direction::Read, timeout)),
            End::Sigchld(signals) => signals.set_timeout(timeout),
        }
    }
}

impl End {
    fn of(child: &Child) -> io::Result<End> {
        match sys::open_process(child.id()) {
            Ok(fd) => {
                let fd = AsyncFd::as_it_is(fd, Interest::READABLE)?;
                fd.set_label(Direction::Read, CHILD_EXIT);
                fd.set_subject(Subject::Process(child.id()));
                Ok(End::PidFd(fd))
            }
            // Before 5.3, in a sandbox that does not know the call, or on another system.
            Err(error) if is_refused(&error) => {
                let signals = signal(SignalKind::CHILD)?;
                signals.io().set_label(Direction::Read, CHILD_EXIT);
                signals.io().set_subject(Subject::Process(child.id()));
                // One that has ended before there was a listener is found by asking.
                signals.io().assume(Readiness::READABLE).map_err(io::Error::from)?;
                Ok(End::Sigchld(signals))
            }
            Err(error) => Err(error),
        }
    }
}

impl End {
    /// Has the audit take it for granted that it may never come.
    fn is_idle(&self) {
        match self {
            End::PidFd(fd) => fd.set_idle_label(Direction::Read, CHILD_EXIT),
            End::Sigchld(signals) => signals.io().set_idle_label(Direction::Read, CHILD_EXIT),
        }
    }
}

fn is_refused(error: &io::Error) -> bool {
    let refusals = [libc::ENOSYS, libc::EPERM, libc::EACCES];
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
}

/// Reaps it if it has ended, else says `WouldBlock`.
fn ask(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    let Some(process) = child else { return Err(io::Error::from_raw_os_error(libc::ECHILD)) };
    match process.try_wait() {
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(Some(status)) => {
            *child = None;
            Ok(status)
        }
        Err(error) => {
            if error.raw_os_error() == Some(libc::ECHILD) {
                // Somebody else has reaped it, or SIGCHLD is ignored: its number may be another's from here on.
                *child = None;
            }
            Err(error)
        }
    }
}

/// Has `watched` reaped when it ends, without anybody waiting.
pub(super) fn reap_in_background(mut watched: Watched) {
    if let Ok(None) = watched.try_wait() {
        let driver = watched.driver.clone();
        watched.set_deadline(None);
        watched.set_timeout(None);
        // Nobody waits for it in earnest.
        watched.end.is_idle();
        // On a loop that may not be driven again it would wait for ever: the orphans take it then.
        if context::try_current().is_some_and(|current| Rc::ptr_eq(&current, &driver)) {
            let reap = async move { drop(watched.wait().await) };
            let name = Some(Text::Literal("reaper"));
            drop(driver.spawn(reap, Origin::new(name, Location::caller())));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Ok(None) = self.try_wait()
            && let Some(child) = self.child.take()
        {
            orphans::adopt(child);
        }
    }
}
