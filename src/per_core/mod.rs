//! One runtime a core: threads that share nothing but a port.
//!
//! ```text
//!  per_core(2, main) ──▶ thread 0: Runtime, pinned to a core ── main(Core 0) ── listener ◀─┐  SO_REUSEPORT: the kernel
//!        │           └─▶ thread 1: Runtime, pinned to a core ── main(Core 1) ── listener ◀─┴─ spreads the connections
//!        ▼
//!   results by core, or the first failure and whose it was
//! ```

mod affinity;
mod core;
mod cores;
mod error;
mod group;
mod thread;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

pub use self::core::Core;
pub use cores::Cores;
pub use error::{CoreError, CoreFailure, CorePanic};
pub use group::CoresHandle;

/// Runs `main` on `cores` threads, each with a [`Runtime`](crate::Runtime) of its own and pinned to a core of its own; returns when
/// all have returned, with their results in the order of the cores. Zero cores are as many as the process may use
/// ([`std::thread::available_parallelism`]).
///
/// The threads share nothing but what `main` captures; connections reach them through a listener each on one port:
/// [`Core::listen`].
///
/// ```
/// use punctual::{CoreError, net, per_core};
///
/// let ports = per_core(2, |core| async move {
///     let listener = core.listen("127.0.0.1:0")?;
///     Ok::<_, net::Error>(listener.local_addr()?.port())
/// })?;
/// assert_eq!(ports[0], ports[1], "one port, a listener on it for each core");
/// # Ok::<_, CoreError<net::Error>>(())
/// ```
///
/// [`PerCore`] makes other choices, and [starts](PerCore::start) them without waiting.
///
/// # Errors
/// The first failure in time, with the number of its core: `main` returned an error or panicked, or a thread or its
/// runtime could not be had (then no `main` was run). The other cores are [shut down](CoresHandle::shutdown), and waited
/// for, but not for ever: see [`CoreFailure::Stuck`].
pub fn per_core<M, F, T, E>(cores: usize, main: M) -> Result<Vec<T>, CoreError<E>>
where
    M: Fn(Core) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    PerCore::new(cores).run(main)
}

/// How to run one runtime a core; see each method for its default.
///
/// ```
/// use std::time::Duration;
/// use punctual::{Core, PerCore, Runtime};
///
/// let sums = PerCore::new(2)
///     .pin(false)
///     .thread_name("sum")
///     .runtime(|_core| Runtime::builder().stall_threshold(Duration::from_millis(5)))
///     .run(|core: Core| async move { Ok::<_, std::convert::Infallible>(core.index() + core.count()) });
/// assert_eq!(sums.expect("neither can fail"), [2, 3]);
/// ```
#[derive(Clone)]
#[must_use = "nothing runs before `run` or `start`"]
pub struct PerCore {
    count: usize,
    pin: bool,
    name: String,
    runtime: Arc<dyn Fn(usize) -> crate::Builder + Send + Sync>,
    grace: Duration,
}

impl PerCore {
    /// On so many threads; zero are as many as the process may use ([`std::thread::available_parallelism`]).
    pub fn new(cores: usize) -> PerCore {
        PerCore {
            count: cores,
            pin: true,
            name: "core".to_owned(),
            runtime: Arc::new(|_| crate::Runtime::builder()),
            grace: Duration::ZERO,
        }
    }

    /// Whether each thread is pinned to one of the cores that this process may use (sched_setaffinity(2)), with more
    /// threads than cores by turns; default `true`. Where the system knows no such thing, or refuses it, threads run where
    /// they are put: [`Core::cpu`] says so. Threads that a pinned one starts, as those for files and other blocking work,
    /// are pinned with it.
    pub fn pin(mut self, pin: bool) -> PerCore {
        self.pin = pin;
        self
    }

    /// What the threads are called, before their number; default `core`, so `core 0`.
    pub fn thread_name(mut self, name: impl Into<String>) -> PerCore {
        self.name = name.into();
        self
    }

    /// How the runtime of each core is built, whose number `builder` is given; default
    /// [`Runtime::builder`](crate::Runtime::builder). Called on the thread of that core.
    pub fn runtime(
        mut self,
        builder: impl Fn(usize) -> crate::Builder + Send + Sync + 'static,
    ) -> PerCore {
        self.runtime = Arc::new(builder);
        self
    }

    /// How long the other cores may go on, [draining](CoresHandle::drain), when one has failed; default not at all.
    pub fn drain_on_failure(mut self, within: Duration) -> PerCore {
        self.grace = within;
        self
    }

    /// Runs `main` on each core, and waits for all: see [`per_core`](fn@per_core).
    ///
    /// # Errors
    /// As [`per_core`](fn@per_core).
    pub fn run<M, F, T, E>(&self, main: M) -> Result<Vec<T>, CoreError<E>>
    where
        M: Fn(Core) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.start(main)?.join()
    }

    /// Starts `main` on each core, once all have their runtimes.
    ///
    /// # Errors
    /// [`CoreFailure::Start`]: a thread or a runtime could not be had, and no `main` was run.
    pub fn start<M, F, T, E>(&self, main: M) -> Result<Cores<T, E>, CoreError<E>>
    where
        M: Fn(Core) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let asked = NonZeroUsize::new(self.count);
        let usable = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        thread::start(self, asked.map_or_else(usable, NonZeroUsize::get), Arc::new(main))
    }
}

impl fmt::Debug for PerCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCore")
            .field("count", &self.count)
            .field("pin", &self.pin)
            .field("name", &self.name)
            .field("drain_on_failure", &self.grace)
            .finish_non_exhaustive()
    }
}
