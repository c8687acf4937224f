//! [`World`]: where a scenario runs, and what it holds to be true there.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use punctual::net::{Connect, Error, Kind, Phase, TcpListener, TcpStream};
use punctual::test::{Network, Script};
use punctual::{JoinError, ScopeError, metrics};

/// A kernel, simulated or real, and numbers that follow from the seed.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    network: Option<Network>,
    random: RefCell<Random>,
    /// Nothing ends but as it should: no resets, no lack of descriptors.
    harmless: bool,
    may_be_cancelled: bool,
    ids: Cell<u64>,
    /// How many operations have ended how.
    tally: RefCell<Tally>,
}

/// How operations have ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// With their result.
    pub done: u64,
    /// By a deadline or timeout.
    pub timeouts: u64,
    /// By a cancel.
    pub cancelled: u64,
    /// Otherwise.
    pub failed: u64,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: Tally) {
        self.done += other.done;
        self.timeouts += other.timeouts;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
    }
}

/// What a cancel of the runner's says.
pub const CAUSE: &str = "the runner's cancel";

/// What a cancel of a scenario's own says.
pub const OWN_CAUSE: &str = "the scenario's cancel";

/// As long as nothing in a world that is harmless may take.
pub const PATIENCE: Duration = Duration::from_secs(3_600);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 7
    }
}

impl World {
    /// The simulated one, or, without a network, the real one.
    #[must_use]
    pub fn new(network: Option<Network>, seed: u64, harmless: bool, may_be_cancelled: bool) -> World {
        World(Rc::new(Inner {
            network,
            random: RefCell::new(Random(seed)),
            harmless,
            may_be_cancelled,
            ids: Cell::new(1),
            tally: RefCell::default(),
        }))
    }

    /// A number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.0.random.borrow_mut().next() % end.max(1)
    }

    /// One of these.
    #[must_use]
    pub fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Once in so many times.
    #[must_use]
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A name for a connection that no other has.
    #[must_use]
    pub fn new_id(&self) -> u64 {
        self.0.ids.replace(self.0.ids.get() + 1)
    }

    /// How long an operation is given: in a world that is harmless as long as it takes, in others maybe too little. On the real
    /// kernel nobody waits for long.
    #[must_use]
    pub fn budget(&self) -> Duration {
        match (self.0.harmless, self.is_simulated()) {
            (true, _) => PATIENCE,
            (false, true) => {
                let widest = self.one_of(&[1_000, 100_000, 3_000_000, 60_000_000]);
                Duration::from_micros(self.below(widest))
            }
            (false, false) => Duration::from_micros(self.below(20_000)),
        }
    }

    /// A short time.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let widest = self.one_of(&[1, 50, 2_000]);
        Duration::from_micros(self.below(widest))
    }

    /// Whether everything has to succeed.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        self.0.harmless
    }

    /// Whether time and network are simulated.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.network.is_some()
    }

    /// The simulated network.
    ///
    /// # Panics
    /// On the real kernel.
    #[must_use]
    pub fn network(&self) -> Network {
        self.0.network.expect("this scenario is for the simulation")
    }

    /// Has a scripted peer listen, and says where.
    #[must_use]
    pub fn peer(&self, script: Script) -> SocketAddr {
        let address = self.address();
        self.network().listen(address, script);
        address
    }

    /// An address of the network where nobody is yet.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1 + (self.new_id() % 250) as u8], 1_000))
    }

    /// A listener, on an address that others can reach; `None` if a fault has denied it.
    #[must_use]
    pub fn listener(&self) -> Option<TcpListener> {
        let address = if self.is_simulated() { "10.0.1.1:0" } else { "127.0.0.1:0" };
        self.ended(TcpListener::bind(address))
    }

    /// A connect that may take as long as `budget`, and is then given up.
    ///
    /// # Panics
    /// As [`within`](World::within).
    pub async fn connect(&self, address: SocketAddr, budget: Duration) -> Option<TcpStream> {
        let connect = Connect::to(address).timeout(budget).connect_timeout(budget);
        self.within(budget, connect.connect()).await
    }

    /// What has ended in time, or not before its time was up; `None` if it failed as things may fail here.
    ///
    /// # Panics
    /// If it was early, or failed as nothing may fail here.
    pub async fn within<T>(
        &self,
        budget: Duration,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let began = Instant::now();
        let result = what.await;
        if matches!(&result, Err(error) if error.is_timeout()) {
            let took = began.elapsed();
            assert!(took >= budget, "early: {took:?} of {budget:?}");
        }
        self.ended(result)
    }

    /// The same for a deadline that others share, by the test's clock.
    ///
    /// # Panics
    /// If it was early, or failed as nothing may fail here.
    pub async fn by<T>(
        &self,
        deadline: Instant,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let result = what.await;
        if matches!(&result, Err(error) if error.is_timeout()) {
            let now = Instant::now();
            assert!(now >= deadline, "early: {:?} before its deadline", deadline - now);
        }
        self.ended(result)
    }

    /// The same where the other end may have gone.
    ///
    /// # Panics
    /// If it was early, or failed otherwise.
    pub async fn unless_gone<T>(
        &self,
        deadline: Instant,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        match what.await {
            Err(error) if matches!(error.kind(), Kind::Kernel(_) | Kind::UnexpectedEof) => None,
            result => self.by(deadline, std::future::ready(result)).await,
        }
    }

    /// The same of what has no budget of its own here.
    ///
    /// # Panics
    /// If it failed as nothing may fail here.
    #[track_caller]
    pub fn ended<T>(&self, result: Result<T, Error>) -> Option<T> {
        let error = match result {
            Ok(value) => {
                self.0.tally.borrow_mut().done += 1;
                return Some(value);
            }
            Err(error) => error,
        };
        self.check(&error);
        None
    }

    /// How an error may be here.
    ///
    /// # Panics
    /// If it may not.
    #[track_caller]
    pub fn check(&self, error: &Error) {
        let mut tally = self.0.tally.borrow_mut();
        match error.kind() {
            Kind::Cancelled => {
                tally.cancelled += 1;
                let cause = error.cause().map(ToString::to_string).unwrap_or_default();
                let known = cause == OWN_CAUSE || cause == CAUSE && self.0.may_be_cancelled;
                assert!(known, "nobody has cancelled for that: {error}");
            }
            Kind::Timeout => {
                tally.timeouts += 1;
                let info = error.deadline().expect("a timeout has a deadline");
                assert!(!self.0.harmless, "there was all the time: {error}");
                // Told to have fired at a time that is not before its deadline.
                assert!(info.fired() >= info.deadline(), "early: {error}");
            }
            Kind::Kernel(_) if error.phase() == Phase::Accept => {
                panic!("a listener takes the next, or waits for descriptors: {error}")
            }
            Kind::Kernel(_) | Kind::UnexpectedEof | Kind::Dns | Kind::Tls | Kind::Protocol => {
                tally.failed += 1;
                assert!(!self.0.harmless || self.0.may_be_cancelled, "nothing goes wrong here: {error}");
            }
            kind => panic!("{kind:?} is no way to end here: {error}"),
        }
    }

    /// A task of the scenario's is over: it has not panicked.
    ///
    /// # Panics
    /// If it has.
    #[track_caller]
    pub fn joined<T>(&self, result: Result<T, JoinError>) -> Option<T> {
        let panicked = matches!(&result, Err(error) if error.is_panic());
        assert!(!panicked, "a task has panicked: {:?}", result.err());
        result.ok()
    }

    /// A scope of the scenario's is over: nothing in it has panicked.
    ///
    /// # Panics
    /// If something has.
    #[track_caller]
    pub fn over<T>(&self, result: Result<T, ScopeError<T>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(error.failures().is_empty(), "a task has failed: {error}");
                error.into_value()
            }
        }
    }

    /// How operations have ended so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *self.0.tally.borrow()
    }

    /// Everything a scenario has begun is over: nothing is left of it.
    ///
    /// # Panics
    /// If something is.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let now = metrics();
        let left =
            (now.live_sources, now.live_timers, now.live_wheel_entries, now.live_tasks, now.live_scopes);
        assert_eq!(left, (0, 0, 0, 0, 0), "sources, timers, wheel entries, tasks, scopes are left");
        assert_eq!(now.early, 0, "fired early");
    }
}
