//! What a timer can go through: armed, moved, cancelled, fired, dropped, and its loop with it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::reactor::{Event, StaleToken};
use punctual::{AlarmKind, Instant, Leeway, Runtime, Sleep, interval, sleep, spawn, timeout};

use crate::support::{self, MS, NS, child, drain, poll_once, virtual_reactor, virtual_runtime};

#[test]
fn t05_huge_timers_neither_fire_nor_hide_a_small_one() {
    let huge = [
        Duration::from_nanos(i64::MAX as u64),
        Duration::from_nanos(i64::MAX as u64 + 1),
        Duration::from_nanos(u64::MAX),
        Duration::MAX,
        Duration::MAX - MS,
        Duration::from_secs(u64::MAX / 10),
    ];
    let _watchdog = support::watchdog("t05", Duration::from_secs(1));
    support::for_each_reactor(|mut reactor| {
        let began = reactor.now();
        for duration in huge {
            reactor.insert_timer(began + duration, Leeway::NONE);
            reactor.insert_timer(began + duration, Leeway::MILLISECOND);
        }
        let tiny = reactor.insert_timer(began + MS, Leeway::NONE);
        let due = reactor.next_deadline().expect("there are timers");
        assert!(due <= began + MS && due >= began, "{due:?}");
        loop {
            reactor.turn(None).expect("a turn");
            match drain(&mut reactor)[..] {
                [] => {}
                [Event::Timer { timer, .. }] if timer == tiny => break,
                ref other => panic!("{other:?}"),
            }
        }
        reactor.turn(Some(5 * MS)).expect("a turn");
        assert!(drain(&mut reactor).is_empty());
        assert!(reactor.next_deadline().is_none_or(|due| due > began + Duration::from_secs(3_600)));
        assert_eq!(reactor.metrics().live_timers, 2 * huge.len());
    });
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            for duration in huge {
                let never = timeout(duration, sleep(MS)).await;
                assert!(never.is_ok(), "{never:?}");
            }
        });
    });
}

#[test]
fn t06_thirty_days_is_more_than_one_wait_and_fires_once() {
    let month = Duration::from_secs(30 * 24 * 3_600);
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    runtime.block_on(async { sleep(month).await });
    assert_eq!(clock.now(), began + month, "neither early nor late");
    assert_eq!(runtime.metrics().fired, 1);

    let mut reactor = punctual::reactor::Reactor::builder()
        .alarm(AlarmKind::PollTimeout)
        .build_reactor()
        .expect("a reactor");
    reactor.insert_timer(reactor.now() + month, Leeway::NONE);
    let wait = reactor.prepare().expect("prepared").expect("this alarm is a timeout");
    assert!(wait >= MS && wait.as_millis() <= i32::MAX as u128, "{wait:?} fits the kernel's argument");
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(drain(&mut reactor).is_empty(), "a clamped wait that ends fires nothing");
}

/// Waits on a sleep that others can get at.
async fn wait_on(shared: Rc<RefCell<Sleep>>) {
    poll_fn(|cx| Pin::new(&mut *shared.borrow_mut()).poll(cx)).await
}

#[test]
fn t09_moved_earlier_across_the_levels_of_the_wheel() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        for later in [200 * MS, Duration::from_secs(100), Duration::from_secs(1_000_000)] {
            let began = clock.now();
            let shared = Rc::new(RefCell::new(sleep(later)));
            let waiter = spawn(wait_on(shared.clone()));
            sleep(3 * MS).await;
            shared.borrow_mut().reset(began + 5 * MS);
            waiter.await.expect("it ends");
            assert_eq!(clock.now(), began + 5 * MS, "moved from {later:?}");
        }
    });
    assert_eq!(runtime.metrics().live_wheel_entries, 0);
}

#[test]
fn t09_moved_later_again_and_again() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = clock.now();
        let shared = Rc::new(RefCell::new(sleep(10 * MS)));
        let waiter = spawn(wait_on(shared.clone()));
        for n in 1..100 {
            sleep(5 * MS).await;
            shared.borrow_mut().reset(began + n * 5 * MS + 10 * MS);
            assert!(!waiter.is_finished());
        }
        waiter.await.expect("it ends");
        assert_eq!(clock.now(), began + 505 * MS);
    });
}

#[test]
fn t10_a_reset_to_the_past_wakes_who_waits() {
    let _watchdog = support::watchdog("t10", Duration::from_secs(1));
    let reset_to_past = |runtime: &Runtime| {
        runtime.block_on(async {
            for past in [Duration::ZERO, NS, Duration::from_secs(60)] {
                let shared = Rc::new(RefCell::new(sleep(Duration::from_secs(3_600))));
                let waiter = spawn(wait_on(shared.clone()));
                punctual::yield_now().await;
                shared.borrow_mut().reset(Instant::now() - past);
                waiter.await.expect("woken now, with no other event to come");
            }
        });
    };
    support::for_each_alarm(reset_to_past);
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    reset_to_past(&runtime);
    assert_eq!(clock.now(), began, "no time has passed");
}

#[test]
fn t10_a_fired_sleep_can_be_armed_again() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = clock.now();
        let mut sleep = sleep(MS);
        (&mut sleep).await;
        assert!(sleep.is_elapsed());
        sleep.reset(began + 3 * MS);
        assert!(!sleep.is_elapsed());
        (&mut sleep).await;
        assert_eq!(clock.now(), began + 3 * MS);
        // Fired, but moved before anybody has looked.
        sleep.reset(began + 4 * MS);
        assert!(poll_once(&mut sleep).is_pending());
        punctual::sleep(2 * MS).await;
        sleep.reset(began + 9 * MS);
        (&mut sleep).await;
        assert_eq!(clock.now(), began + 9 * MS);
    });
}

#[test]
fn t12_a_cancel_says_whether_it_came_in_time() {
    let (mut reactor, clock) = virtual_reactor();
    let far = clock.now() + Duration::from_secs(5);
    let early = reactor.insert_timer(far, Leeway::NONE);
    assert!(reactor.cancel_timer(early), "before it fires");
    assert!(!reactor.cancel_timer(early), "twice");
    assert_eq!(reactor.reset_timer(early, far), Err(StaleToken::Ended));

    let fires = reactor.insert_timer(clock.now() + MS, Leeway::NONE);
    reactor.turn(None).expect("a turn");
    assert!(matches!(reactor.next_event(), Some(Event::Timer { timer, .. }) if timer == fires));
    assert!(!reactor.cancel_timer(fires), "from its own callback");
    assert_eq!(reactor.reset_timer(fires, far), Err(StaleToken::Ended));

    let due = reactor.insert_timer(clock.now(), Leeway::NONE);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(reactor.cancel_timer(due), "due, not yet given out");
    assert!(drain(&mut reactor).is_empty(), "nothing comes after a cancel that said true");
    let reused = reactor.insert_timer(far, Leeway::NONE);
    assert!(!reactor.cancel_timer(due), "a stale name does not reach the next timer");
    assert!(reactor.cancel_timer(reused));
    assert_eq!((reactor.metrics().live_timers, reactor.metrics().live_wheel_entries), (0, 0));
}

/// When woken or dropped, empties a drawer of sleeps that lies in the thread.
struct Emptier {
    on_wake: bool,
}

thread_local! {
    static DRAWER: RefCell<Vec<Sleep>> = const { RefCell::new(Vec::new()) };
}

fn empty_the_drawer() {
    let sleeps = DRAWER.with(|drawer| drawer.take());
    drop(sleeps);
}

impl Wake for Emptier {
    fn wake(self: Arc<Self>) {
        if self.on_wake {
            empty_the_drawer();
        }
    }
}

impl Drop for Emptier {
    fn drop(&mut self) {
        empty_the_drawer();
    }
}

fn fill_the_drawer(deadline: Instant) {
    let fill = (0..100).map(|_| {
        let mut sleep = punctual::sleep_until(deadline);
        assert!(poll_once(&mut sleep).is_pending());
        sleep
    });
    let sleeps: Vec<_> = fill.collect();
    DRAWER.with(|drawer| drawer.borrow_mut().extend(sleeps));
}

#[test]
fn t15_a_waker_drops_all_other_timers() {
    for same_deadline in [true, false] {
        let (runtime, clock) = virtual_runtime();
        runtime.block_on(async {
            let due = clock.now() + MS;
            let mut first = punctual::sleep_until(due);
            let waker = Waker::from(Arc::new(Emptier { on_wake: true }));
            assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
            fill_the_drawer(if same_deadline { due } else { due + MS });
            sleep(10 * MS).await;
            assert!(poll_once(&mut first).is_ready());
        });
        let metrics = runtime.metrics();
        assert_eq!((metrics.live_timers, metrics.live_wheel_entries), (0, 0), "the wheel is empty");
    }
}

#[test]
fn t15_a_waker_whose_drop_drops_timers_is_let_go_at_any_moment() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let later = clock.now() + Duration::from_secs(1);
        let arm = || {
            let mut sleep = punctual::sleep_until(later);
            let waker = Waker::from(Arc::new(Emptier { on_wake: false }));
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            fill_the_drawer(later);
            sleep
        };
        drop(arm());
        let mut replaced = arm();
        assert!(poll_once(&mut replaced).is_pending(), "another waker takes its place");
        let fired = arm();
        sleep(Duration::from_secs(2)).await;
        drop(fired);
        assert!(poll_once(&mut replaced).is_ready());
    });
    empty_the_drawer();
    assert_eq!(runtime.metrics().live_timers, 0);
}

/// Counts how many of it have been dropped.
struct Counted(Rc<RefCell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.borrow_mut() += 1;
    }
}

#[test]
fn t16_a_runtime_is_dropped_with_everything_pending() {
    support::for_each_alarm(|_| {
        let runtime = Runtime::new().expect("a runtime");
        let dropped = Rc::new(RefCell::new(0));
        let mut outlives = None;
        for n in 0..200u32 {
            let counted = Counted(dropped.clone());
            let pending = async move {
                let _counted = counted;
                match n % 5 {
                    0 => sleep(Duration::from_secs(60)).await,
                    1 => drop(timeout(Duration::from_secs(60), std::future::pending::<()>()).await),
                    2 => loop {
                        interval(Duration::from_secs(60)).tick().await;
                    },
                    3 => {
                        let (near, _far) = support::wire::pair();
                        drop(near.read_byte().await);
                    }
                    _ => drop(spawn(sleep(Duration::from_secs(60))).await),
                }
            };
            let handle = runtime.spawn(pending);
            if n == 7 {
                outlives = Some(handle);
            }
        }
        runtime.block_on(async { sleep(5 * MS).await });
        assert_eq!(*dropped.borrow(), 0);
        drop(runtime);
        assert_eq!(*dropped.borrow(), 200, "each future is dropped, once");
        let outlived = poll_once(outlives.expect("one was kept"));
        assert!(matches!(outlived, Poll::Ready(Err(error)) if error.is_aborted()));
    });
}

#[test]
fn t16_a_timer_shuts_the_loop_down() {
    let _watchdog = support::watchdog("t16", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        let ended = runtime.block_on(async {
            let handle = runtime.handle();
            drop(spawn(async move {
                sleep(MS).await;
                handle.shutdown().expect("room in the inbox");
            }));
            let (near, _far) = support::wire::pair();
            let first = near.read_byte().await;
            let later = near.read_byte().await;
            let (fresh, _far) = support::wire::pair();
            [first, later, fresh.read_byte().await]
        });
        for read in ended {
            assert!(matches!(read, Err(punctual::reactor::Failure::Shutdown)), "{read:?}");
        }
    });
}

#[test]
fn t23_a_million_inserted_and_cancelled_leave_nothing() {
    if !child::plays("churns") {
        return child::succeed(child::command(
            "timers::states::t23_a_million_inserted_and_cancelled_leave_nothing",
            "churns",
        ));
    }
    // Of this process' own: pages of the program that come in as it runs are no leak.
    let resident_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<u64>().expect("a number")
    };
    let mut reactor = punctual::reactor::Reactor::new().expect("a reactor");
    let mut rng = fastrand::Rng::with_seed(23);
    let mut churn = |count: u32| {
        for n in 0..count {
            let deadline = reactor.now() + Duration::from_nanos(rng.u64(..3_600_000_000_000));
            let timer = reactor.insert_timer(deadline, Leeway::NONE);
            if n % 64 == 0 {
                reactor.turn(Some(Duration::ZERO)).expect("a turn");
            }
            assert!(reactor.cancel_timer(timer));
        }
        assert_eq!((reactor.metrics().live_timers, reactor.metrics().live_wheel_entries), (0, 0));
    };
    churn(10_000);
    let before = resident_kib();
    churn(1_000_000);
    let after = resident_kib();
    assert!(after <= before + 512, "memory is flat: {before} KiB before, {after} KiB after");
}

#[test]
fn q01_a_clock_that_goes_back_stands_still() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let armed_before = sleep(20 * MS);
        sleep(10 * MS).await;
        let highest = Instant::now();
        clock.set(highest - 5 * MS);
        let seen = Instant::now();
        assert!(seen >= highest, "time does not go back for the runtime: {seen:?} after {highest:?}");
        sleep(3 * MS).await;
        assert!(Instant::now() - seen >= 3 * MS, "a sleep set meanwhile is not early");
        let deadline = armed_before.deadline();
        armed_before.await;
        assert!(Instant::now() >= deadline);
        let guarded = timeout(MS, std::future::pending::<()>()).await.expect_err("no end");
        assert!(guarded.firing().fired >= guarded.deadline());
    });
    assert_eq!(runtime.drift().early, 0);
}
