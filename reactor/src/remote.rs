//! [`Handle`]: the one thing of a reactor that other threads may hold.

mod inbox;
mod send_error;

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;

use crate::arena::Id;
use crate::clock::Clock;
use crate::event::Cause;
use crate::instant::Instant;
use crate::parking::Parking;
use crate::readiness::Direction;
use crate::room::{NoRoom, Room};
use crate::scope::ScopeId;
use crate::sys::process::Process;
use crate::token::{ReactorId, Token};

pub(crate) use inbox::Inbox;
pub use send_error::SendError;

/// Reaches a reactor from any thread: `Clone + Send + Sync`, and the only such type of this crate.
///
/// A command names its source by [`Token`], so one that comes too late finds nothing and does no harm.
/// Commands of one thread arrive in the order it sent them. The inbox is bounded: a command that does not
/// fit is handed back as [`SendError::Full`].
///
/// ```
/// # use std::time::Duration;
/// let mut reactor = punctual_reactor::Reactor::new()?;
/// let handle = reactor.handle();
/// std::thread::spawn(move || handle.send(42_u32)).join().unwrap().unwrap();
/// reactor.turn(Some(Duration::from_secs(1)))?;
/// assert!(matches!(reactor.next_event(), Some(punctual_reactor::Event::Message(_))));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// What a remote thread asks of the loop.
pub(crate) enum Command {
    Message(Box<dyn Any + Send>),
    Call { call: Box<dyn FnOnce() + Send>, from: Option<&'static Location<'static>> },
    Cancel { token: Token, cause: Cause },
    CancelScope { scope: ScopeId, cause: Cause },
    SetDeadline { token: Token, direction: Option<Direction>, deadline: Instant },
    Shutdown,
}

/// What the handles and wakers of a reactor share with it.
pub(crate) struct Shared {
    pub(crate) id: ReactorId,
    /// The one whose loop it is.
    pub(crate) process: Process,
    clock: Clock,
    parking: Parking,
    waker: mio::Waker,
    /// Bounded by `room` rather than by its own kind: a bounded crossbeam channel keeps what
    /// it holds after its receiver is gone, and whoever waits for an answer to it would wait for ever.
    inbox: Sender<Command>,
    room: Room,
    /// Tasks woken by other threads. Not bounded by count, but every live task is in it at most once.
    woken: Sender<Id>,
    signals: AtomicU64,
    refused: AtomicU64,
    /// Whether a runtime runs the loop: then nobody reads messages.
    tasks: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        id: ReactorId,
        clock: Clock,
        waker: mio::Waker,
        capacity: usize,
    ) -> (Arc<Shared>, Inbox) {
        let (inbox, commands) = crossbeam_channel::unbounded();
        let (woken_in, woken) = crossbeam_channel::unbounded();
        let shared = Shared {
            id,
            process: Process::this(),
            clock,
            parking: Parking::new(),
            waker,
            inbox,
            room: Room::new(capacity),
            woken: woken_in,
            signals: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            tasks: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        (shared.clone(), Inbox::new(shared, commands, woken))
    }

    /// Says that a runtime runs the loop.
    pub(crate) fn serves_tasks(&self) {
        self.tasks.store(true, Ordering::Relaxed);
    }

    /// Says that the loop is about to sleep; `false` if work waits and it must not.
    pub(crate) fn park(&self) -> bool {
        self.parking.park()
    }

    /// Says that the loop runs; returns whether work has been queued.
    pub(crate) fn unpark(&self) -> bool {
        self.parking.unpark()
    }

    pub(crate) fn signals(&self) -> u64 {
        self.signals.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many commands wait.
    pub(crate) fn depth(&self) -> usize {
        self.room.depth()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.room.capacity()
    }

    /// Queues a task from another thread, and wakes the loop if it sleeps.
    pub(crate) fn wake_task(&self, task: Id) {
        if self.woken.send(task).is_ok() {
            self.notify();
        }
    }

    pub(crate) fn notify(&self) {
        if self.parking.notify() {
            self.signals.fetch_add(1, Ordering::Relaxed);
            // It fails only if the descriptor is gone, and with it the loop that would listen.
            if let Err(error) = self.waker.wake() {
                tracing::error!(%error, "cannot wake the loop");
            }
        }
    }

    fn send(&self, command: Command) -> Result<(), SendError<Command>> {
        if !self.process.is_this() {
            // The queue is a copy that no loop looks at.
            return Err(SendError::Closed(command));
        }
        match self.room.take() {
            Ok(()) => self.put(command),
            Err(NoRoom::Closed) => Err(SendError::Closed(command)),
            Err(NoRoom::Full) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(SendError::Full(command))
            }
        }
    }

    /// Puts in what has been counted.
    fn put(&self, command: Command) -> Result<(), SendError<Command>> {
        match self.inbox.send(command) {
            Ok(()) => self.notify(),
            Err(refused) => return Err(SendError::Closed(refused.0)),
        }
        Ok(())
    }
}

impl Handle {
    /// Sends `message`, which the reactor gives out as [`Event::Message`](crate::Event::Message).
    ///
    /// Only a bare [`Reactor`](crate::Reactor) has somebody to read it; to a
    /// [`Runtime`](crate::Runtime) say it by [`call`](Handle::call) or [`spawn`](Handle::spawn).
    ///
    /// # Errors
    /// [`SendError`], with the message in it.
    pub fn send<T: Send + 'static>(&self, message: T) -> Result<(), SendError<T>> {
        if self.shared.tasks.load(Ordering::Relaxed) {
            return Err(SendError::NoReader(message));
        }
        self.shared.send(Command::Message(Box::new(message))).map_err(|refused| {
            refused.map(|command| match command {
                Command::Message(message) => match message.downcast() {
                    Ok(message) => *message,
                    Err(_) => unreachable!("the box holds what was put in above"),
                },
                _ => unreachable!("the command that was sent is the one that comes back"),
            })
        })
    }

    /// Has `call` run on the loop's thread. If it takes long, it is told of by the place where this was called.
    ///
    /// # Errors
    /// [`SendError`]; the call is then dropped here.
    #[track_caller]
    pub fn call(&self, call: impl FnOnce() + Send + 'static) -> Result<(), SendError> {
        self.call_from(call, Location::caller())
    }

    pub(crate) fn call_from(
        &self,
        call: impl FnOnce() + Send + 'static,
        from: &'static Location<'static>,
    ) -> Result<(), SendError> {
        self.command(Command::Call { call: Box::new(call), from: Some(from) })
    }

    /// Has `call` run on the loop's thread, also if the inbox is full: for what each thing of the loop's own says
    /// at most once. A loop that is gone is not told.
    pub(crate) fn tell(&self, call: impl FnOnce() + Send + 'static) {
        self.shared.room.take_beyond();
        drop(self.shared.put(Command::Call { call: Box::new(call), from: None }));
    }

    /// Cancels `token`: its waiting operations and all later ones end with `cause`. The first cause
    /// stays. A token whose registration has ended is ignored.
    ///
    /// # Errors
    /// [`SendError`]; nothing was cancelled.
    pub fn cancel(&self, token: Token, cause: impl Into<Cause>) -> Result<(), SendError> {
        self.known(token)?;
        self.command(Command::Cancel { token, cause: cause.into() })
    }

    /// Sets or clears the deadline of one side of `token`, or of both. A waiting operation observes it.
    /// Count it from [`Handle::now`].
    ///
    /// # Errors
    /// [`SendError`]; nothing was changed.
    pub fn set_deadline(
        &self,
        token: Token,
        direction: impl Into<Option<Direction>>,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        self.known(token)?;
        self.command(Command::SetDeadline {
            token,
            direction: direction.into(),
            deadline: deadline.unwrap_or(Instant::FAR_FUTURE),
        })
    }

    /// Reads the loop's clock: what a deadline for it is counted from. On this thread
    /// [`Instant::now`] reads another clock, unless the loop's is the monotonic one.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Ends the [scope](crate::scope) with `cause`, unless it has ended: the first cause stays. What waits in it
    /// ends in the loop's next turn. A scope that is over is not there to be cancelled, which does no harm.
    ///
    /// # Errors
    /// [`SendError`], also if the scope is another runtime's.
    pub fn cancel_scope(&self, scope: ScopeId, cause: impl Into<Cause>) -> Result<(), SendError> {
        if scope.reactor != self.shared.id {
            return Err(SendError::Foreign(()));
        }
        self.command(Command::CancelScope { scope, cause: cause.into() })
    }

    /// Makes the loop take a turn, if it sleeps.
    pub fn wake(&self) {
        self.shared.notify();
    }

    /// Asks the loop to end: every waiting operation, and every later one, ends with `Shutdown`.
    ///
    /// # Errors
    /// [`SendError::Full`] if the inbox is full; a reactor that is gone has ended, which is no error.
    pub fn shutdown(&self) -> Result<(), SendError> {
        match self.command(Command::Shutdown) {
            Err(SendError::Closed(())) => Ok(()),
            other => other,
        }
    }

    fn known(&self, token: Token) -> Result<(), SendError> {
        if token.reactor == self.shared.id { Ok(()) } else { Err(SendError::Foreign(())) }
    }

    fn command(&self, command: Command) -> Result<(), SendError> {
        self.shared.send(command).map_err(|refused| refused.map(drop))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("reactor", &self.shared.id).finish_non_exhaustive()
    }
}
