//! Who runs the scenarios: over many seeds, with a cancel or a drop at every moment, and on the real kernel.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use punctual::test::{DropAtPoll, Faults, LoopPoint, Network, Report, Simulation};
use punctual::{Runtime, Unbounded, metrics, scope, sleep, yield_now};

use crate::certificates;
use crate::scenarios::{ALL, Scenario};
use crate::world::{CAUSE, Tally, World};

/// What a runner does to a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it ends by itself.
    Undisturbed,
    /// Cancels the scope around it, as from another thread, when the loop comes to this point.
    CancelAt(LoopPoint),
    /// Drops it when the loop comes to this point.
    DropAt(LoopPoint),
    /// Drops it after so many polls.
    DropAfterPolls(u64),
}

/// How it has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// Whether it came to its own end.
    pub by_itself: bool,
    /// How its operations have ended.
    pub tally: Tally,
}

/// One run: a scenario, a seed, what goes wrong, what is done to it. Its `Display` is how to run it again.
#[derive(Clone)]
pub struct Run {
    /// Which scenario.
    pub scenario: Scenario,
    /// From which everything follows.
    pub seed: u64,
    /// What is done to it.
    pub plan: Plan,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { scenario, seed, plan } = self;
        write!(f, "PUNCTUAL_SEED={seed} (scenario {}, {plan:?})", scenario.name)
    }
}

impl Run {
    /// The run that a seed stands for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Run {
        let scenario = ALL[(seed % ALL.len() as u64) as usize];
        Run { scenario, seed, plan: Plan::Undisturbed }
    }

    /// What goes wrong in it: in every second round nothing that ends anything.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let faults = Faults::mixed(self.seed);
        if self.is_harmless() { faults.harmless() } else { faults }
    }

    fn is_harmless(&self) -> bool {
        (self.seed / ALL.len() as u64).is_multiple_of(2)
    }

    /// Runs it in a simulation on a thread of its own, so that nothing is left of the one before.
    ///
    /// # Errors
    /// What failed.
    pub fn simulate(&self) -> Result<Report<Ended>, String> {
        certificates::prepare();
        let run = self.clone();
        let thread = std::thread::Builder::new().name(self.to_string());
        let ended = thread.spawn(move || run.simulate_here()).expect("a thread").join();
        ended.map_err(|panic| {
            let text = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
            format!("{self}: {text}")
        })
    }

    fn simulate_here(&self) -> Report<Ended> {
        let verbose = std::env::var_os("PUNCTUAL_TRACE").is_some();
        let simulation = Simulation::new(self.seed).faults(self.faults()).verbose(verbose);
        let (harmless, plan, seed) = (self.is_harmless(), self.plan, self.seed);
        let builder = Runtime::builder();
        simulation.runtime(builder).run(async |network| {
            let before = network.descriptors();
            let undisturbed = matches!(plan, Plan::Undisturbed);
            let world = World::new(Some(network), seed, harmless && undisturbed, !undisturbed);
            let by_itself = disturb(plan, network, (self.scenario.body)(world.clone())).await;
            // From now on nothing is to be had but what ends.
            network.set_faults(Faults { latency: self.faults().latency, ..Faults::NONE });
            settle().await;
            world.assert_nothing_left();
            assert_eq!(network.descriptors(), before, "descriptors are left");
            let (told, dropped) = (network.counts().stale, metrics().stale_events);
            assert!(dropped >= told, "of {told} events of ended registrations {dropped} were dropped");
            Ended { by_itself, tally: world.tally() }
        })
    }

    /// Runs it on the real kernel, on this thread.
    ///
    /// # Errors
    /// What failed.
    pub fn run_for_real(&self) -> Result<Ended, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let world = World::new(None, self.seed, self.is_harmless(), false);
        let body = AssertUnwindSafe(|| {
            runtime.block_on(async {
                (self.scenario.body)(world.clone()).await;
                settle().await;
                world.assert_nothing_left();
            });
        });
        catch_unwind(body).map_err(|_| format!("{self}, on the real kernel: it panicked"))?;
        Ok(Ended { by_itself: true, tally: world.tally() })
    }
}

/// Runs `body` as `plan` has it, its points counted from now; returns whether it came to its own end.
async fn disturb(plan: Plan, network: Network, body: Pin<Box<dyn Future<Output = ()>>>) -> bool {
    match plan {
        Plan::Undisturbed => {
            body.await;
            true
        }
        Plan::CancelAt(point) => {
            let reached = Rc::new(Cell::new(false));
            let ended = scope("runner", Unbounded, async |scope| {
                let (canceller, reached) = (scope.canceller(), reached.clone());
                network.at_point(network.next_point() + point, move || {
                    reached.set(true);
                    // It may be over.
                    let _ = canceller.cancel(CAUSE);
                });
                body.await;
            });
            if let Err(error) = ended.await {
                assert!(error.failures().is_empty(), "a task has failed: {error}");
            }
            !reached.get()
        }
        Plan::DropAt(point) => drop_at(point, network, body).await,
        Plan::DropAfterPolls(polls) => DropAtPoll::new(body, polls).await.is_some(),
    }
}

thread_local! {
    /// Who is to be dropped, and whom to wake for it.
    static TO_BE_DROPPED: RefCell<(bool, Option<Waker>)> = const { RefCell::new((false, None)) };
}

thread_local! {
    /// When a command was sent to the loop, and how often its sleeps had been disturbed until then.
    static SENT: Cell<Option<(punctual::Instant, u64)>> = const { Cell::new(None) };
    static TOOK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static NETWORK: Cell<Option<Network>> = const { Cell::new(None) };
}

/// How often a sleep ended late, or went on while the clock jumped.
fn disturbances(network: Network) -> u64 {
    let counts = network.counts();
    NETWORK.set(Some(network));
    counts.late + counts.jumps
}

/// A command is here: how long it has waited, unless the sleep was disturbed. What panics here the loop survives, so that it
/// is looked at later.
fn note_when_it_came() {
    let (Some((sent, disturbed)), Some(network)) = (SENT.get(), NETWORK.get()) else { return };
    let took = network.now().saturating_duration_since(sent);
    TOOK.set(if disturbances(network) > disturbed { Duration::ZERO } else { took });
}

/// K02: a command ends the sleep of the loop at once. (What a scenario holds the loop up for is less than this bound.)
fn check_that_it_came_at_once() {
    let took = TOOK.get();
    assert!(
        took < Duration::from_millis(200),
        "a command has waited for {took:?}: its wake-up was lost"
    );
}

async fn drop_at(point: LoopPoint, network: Network, body: Pin<Box<dyn Future<Output = ()>>>) -> bool {
    let handle = network.handle();
    network.at_point(network.next_point() + point, move || {
        SENT.set(Some((network.now(), disturbances(network))));
        let told = handle.call(|| {
            note_when_it_came();
            let waker = TO_BE_DROPPED.with_borrow_mut(|(now, waker)| {
                *now = true;
                waker.take()
            });
            waker.into_iter().for_each(Waker::wake);
        });
        told.expect("there is room");
    });
    let mut body = pin!(Some(body));
    let by_itself = poll_fn(|cx| {
        let now = TO_BE_DROPPED.with_borrow_mut(|(now, waker)| {
            *waker = Some(cx.waker().clone());
            *now
        });
        if now {
            body.set(None);
            return Poll::Ready(false);
        }
        let body = body.as_mut().as_pin_mut().expect("it is there until it is over");
        body.poll(cx).map(|()| true)
    });
    let by_itself = by_itself.await;
    // A waker holds its loop, which is to go.
    TO_BE_DROPPED.take();
    check_that_it_came_at_once();
    by_itself
}

/// Waits until what was let go of has ended: tasks that are aborted, connections that close.
async fn settle() {
    let left = || {
        let now = metrics();
        now.live_sources + now.live_timers + now.live_tasks + now.live_scopes + now.live_wheel_entries
    };
    for _ in 0..10 {
        if left() == 0 {
            return;
        }
        yield_now().await;
    }
    // A connection of HTTP ends when its last bytes are gone.
    let mut waits = 0;
    while waits < 2_000 && metrics().live_tasks > 0 {
        sleep(Duration::from_millis(1)).await;
        waits += 1;
    }
    yield_now().await;
}
