//! [`Simulation`]: a run on the simulated kernel, and what came of it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::time::Duration;

use super::faults::Faults;
use super::kernel::{Counts, Kernel};
use super::network::{Host, Names, Script};
use crate::builder::Builder;
use crate::executor::context;
use crate::instant::Instant;
use crate::metrics::Metrics;
use crate::remote::Handle;

thread_local! {
    /// Whether this thread is in a simulation. Apart from the kernel, because it has no destructor: it can be read at any time.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    static HOOKS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
    static POINT: Cell<u64> = const { Cell::new(0) };
}

type Hook = (u64, Box<dyn FnOnce()>);

/// Whether this thread's calls go to a simulated kernel.
pub(crate) fn is_entered() -> bool {
    ENTERED.get()
}

/// Runs `call` on the kernel of this thread, if it is in a simulation.
pub(crate) fn with_kernel<T>(call: impl FnOnce(&mut Kernel) -> T) -> Option<T> {
    if !is_entered() {
        return None;
    }
    KERNEL.with(|kernel| kernel.try_borrow_mut().ok()?.as_mut().map(call))
}

/// The loop has come to its next point: whoever waits for it is called.
pub(crate) fn reach_point() {
    let point = POINT.replace(POINT.get() + 1);
    loop {
        let hook = HOOKS.with(|hooks| {
            let mut hooks = hooks.borrow_mut();
            let due = hooks.iter().position(|(at, _)| *at == point)?;
            Some(hooks.swap_remove(due).1)
        });
        let Some(hook) = hook else { return };
        // It is called from a function of C's, which a panic must not leave.
        if catch_unwind(AssertUnwindSafe(hook)).is_err() {
            with_kernel(|kernel| kernel.fail("a hook panicked"));
        }
    }
}

/// A place between two steps of the loop: 0 is before its first poll, 1 after it, 2 before the second, and so on.
pub type LoopPoint = u64;

/// A run of code on a simulated kernel and network.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::simulation::Simulation;
/// use punctual_reactor::sleep;
///
/// let report = Simulation::new(7).run(async |_| {
///     sleep(Duration::from_secs(3_600)).await;
/// });
/// assert!(report.simulated >= Duration::from_secs(3_600));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a simulation does nothing until it runs"]
pub struct Simulation {
    seed: u64,
    faults: Faults,
    calls_max: u64,
    verbose: bool,
    builder: Builder,
}

/// What came of a [`Simulation`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report<T> {
    /// What the body returned.
    pub value: T,
    /// A number that follows from all system calls, their results and their times: of two equal runs it is equal.
    pub trace: u64,
    /// How much virtual time has passed.
    pub simulated: Duration,
    /// How many [points](LoopPoint) the loop came by.
    pub points: LoopPoint,
    /// What went on and went wrong.
    pub counts: Counts,
    /// Of the runtime, when the body was done and before the runtime was dropped.
    pub metrics: Metrics,
}

impl Simulation {
    /// A run in which everything follows from `seed`, and nothing goes wrong yet.
    pub fn new(seed: u64) -> Simulation {
        Simulation {
            seed,
            faults: Faults::NONE,
            calls_max: 2_000_000,
            verbose: false,
            builder: Builder::default(),
        }
    }

    /// What goes wrong.
    pub fn faults(mut self, faults: Faults) -> Simulation {
        self.faults = faults;
        self
    }

    /// After so many system calls it has failed: 2 000 000 unless set.
    pub fn calls_max(mut self, calls: u64) -> Simulation {
        self.calls_max = calls;
        self
    }

    /// Whether everything that happens is printed to standard error.
    pub fn verbose(mut self, verbose: bool) -> Simulation {
        self.verbose = verbose;
        self
    }

    /// How the runtime is built. Its clock has to be the system's, which is the simulated one here.
    pub fn runtime(mut self, builder: Builder) -> Simulation {
        self.builder = builder;
        self
    }

    /// Runs `body` on a runtime of its own until it is done, and drops the runtime.
    ///
    /// # Panics
    /// With the seed in the message: if the body panics, if the loop gets stuck or loses a wake-up, or if a descriptor is left open.
    /// If this thread is in a simulation already.
    pub fn run<T>(self, body: impl AsyncFnOnce(Network) -> T) -> Report<T> {
        let builder = self.builder.clone();
        let mut metrics = Metrics::default();
        let report = self.enter(|network| {
            let runtime = builder.build().expect("a runtime");
            let value = runtime.block_on(body(network));
            metrics = runtime.metrics();
            value
        });
        Report { metrics, ..report }
    }

    /// Runs `body` in the simulation without a runtime: for one that makes its own.
    ///
    /// # Panics
    /// As [`run`](Simulation::run).
    pub fn enter<T>(self, body: impl FnOnce(Network) -> T) -> Report<T> {
        assert!(!is_entered(), "this thread is in a simulation already");
        let Simulation { seed, faults, calls_max, verbose, .. } = self;
        let kernel = Kernel::new(seed, faults, calls_max, verbose);
        let began_ns = kernel.now_ns;
        KERNEL.set(Some(kernel));
        POINT.set(0);
        ENTERED.set(true);
        let result =
            catch_unwind(AssertUnwindSafe(|| body(Network { _not_send: std::marker::PhantomData })));
        // What hooks hold may have descriptors of the simulation.
        let hooks = HOOKS.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(hooks)));
        ENTERED.set(false);
        let kernel = KERNEL.take().expect("it was there all the time");
        let failure = kernel.failure.clone();
        let value = match (result, failure) {
            (Ok(value), None) => value,
            (Err(panic), None) => fail(seed, &said(&*panic), panic),
            (_, Some(failure)) => panic_any(text(seed, &failure)),
        };
        let open = kernel.descriptors_open();
        if open > 0 {
            panic_any(text(seed, &format!("{open} descriptors were left open")));
        }
        Report {
            value,
            trace: kernel.trace(),
            simulated: Duration::from_nanos(kernel.now_ns - began_ns),
            points: POINT.get(),
            counts: kernel.counts,
            metrics: Metrics::default(),
        }
    }
}

fn text(seed: u64, why: &str) -> String {
    format!("simulation with seed {seed}: {why}")
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

fn fail(seed: u64, why: &str, panic: Box<dyn Any + Send>) -> ! {
    if why == "it panicked" {
        eprintln!("{}", text(seed, why));
        resume_unwind(panic);
    }
    panic_any(text(seed, why))
}

/// The simulated network and clock, as the body of a [`Simulation`] sees them.
#[derive(Clone, Copy)]
pub struct Network {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Network {
    fn kernel<T>(&self, call: impl FnOnce(&mut Kernel) -> T) -> T {
        with_kernel(call).expect("the simulation goes on")
    }

    /// Has a peer listen at `address`, which follows `script` on each connection.
    pub fn listen(&self, address: SocketAddr, script: Script) {
        self.host(address, Host::Peer(script));
    }

    /// Has a peer connect to `address`, which is the program's own, and follow `script`.
    pub fn connect(&self, address: SocketAddr, script: Script) {
        self.kernel(|kernel| kernel.connect_script(address, script));
    }

    /// Nothing that is sent to `address` is answered.
    pub fn black_hole(&self, address: SocketAddr) {
        self.host(address, Host::BlackHole);
    }

    /// A router says that the host of `address` cannot be reached.
    pub fn unreachable(&self, address: SocketAddr) {
        self.host(address, Host::Unreachable);
    }

    /// Has a name server answer at `address`, after `delay`, with what it knows; other names do not exist.
    pub fn name_server<'a>(
        &self,
        address: SocketAddr,
        delay: Duration,
        names: impl IntoIterator<Item = (&'a str, IpAddr)>,
    ) {
        let known = |(name, ip): (&str, _)| (format!("{}.", name.to_ascii_lowercase()), ip);
        let addresses = names.into_iter().map(known).collect();
        self.host(address, Host::Names(Names { addresses, delay }));
    }

    /// Nobody is at `address` any more but who listens there in the program.
    pub fn remove(&self, address: SocketAddr) {
        self.kernel(|kernel| kernel.hosts.remove(&address));
    }

    fn host(&self, address: SocketAddr, host: Host) {
        self.kernel(|kernel| kernel.hosts.insert(address, host));
    }

    /// Changes what goes wrong from now on. [`Faults::NONE`] heals everything: what is under way then arrives.
    pub fn set_faults(&self, faults: Faults) {
        self.kernel(|kernel| kernel.faults = faults);
    }

    /// Lets so much time pass at once, as code does that holds the loop up.
    pub fn busy(&self, time: Duration) {
        self.kernel(|kernel| kernel.now_ns += time.as_nanos() as u64);
    }

    /// Reads the simulated clock, without taking time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.kernel(|kernel| kernel.now_ns))
    }

    /// A number of the simulation's own, below `end`: for choices of the test.
    #[must_use]
    pub fn random(&self, end: u64) -> u64 {
        self.kernel(|kernel| kernel.random.below(end))
    }

    /// What goes on and goes wrong so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.kernel(|kernel| kernel.counts)
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.kernel(|kernel| kernel.descriptors_open())
    }

    /// Calls `hook` when the loop comes to `point`, counted from the start of the simulation. It is called as from
    /// another thread, in the midst of a turn: what it may use is a [`handle`](Network::handle), and no waker.
    pub fn at_point(&self, point: LoopPoint, hook: impl FnOnce() + 'static) {
        HOOKS.with(|hooks| hooks.borrow_mut().push((point, Box::new(hook))));
    }

    /// What reaches the runtime that calls this, as from another thread: for hooks.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: context::current("Network::handle").remote.clone() }
    }

    /// The next point that the loop comes to.
    #[must_use]
    pub fn next_point(&self) -> LoopPoint {
        POINT.get()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
