//! `timeout` and `timeout_at`: a bound on anything that is awaited.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use punctual::{Elapsed, Instant, sleep, sleep_until, timeout, timeout_at};

use crate::support::{self, MS, NS, US, virtual_runtime, wire};

#[test]
fn what_is_due_together_with_its_bound_wins() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        for wait in [Duration::ZERO, NS, MS, Duration::from_secs(3_600)] {
            let deadline = clock.now() + wait;
            timeout_at(deadline, sleep_until(deadline)).await.expect("the future wins");
            timeout(wait, sleep(wait)).await.expect("the future wins");
            timeout(Duration::ZERO, async {}).await.expect("it was ready");
            let late = timeout_at(deadline, sleep_until(clock.now() + wait + NS)).await;
            assert!(late.is_err(), "a nanosecond later it does not");
        }
    });
}

#[test]
fn data_that_is_there_when_a_stalled_loop_wakes_beats_the_bound() {
    let _watchdog = support::watchdog("data beats the bound", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, far) = wire::pair();
            let reading = runtime.spawn(async move { timeout(2 * MS, near.read_byte()).await });
            punctual::yield_now().await;
            far.write(b"!").await.expect("room");
            let stall_until = Instant::now() + 5 * MS;
            while Instant::now() < stall_until {}
            let read = reading.await.expect("no panic");
            assert!(matches!(read, Ok(Ok(b'!'))), "{read:?}");
        });
    });
}

#[test]
fn an_elapsed_bound_says_what_it_was() {
    let (runtime, clock) = virtual_runtime();
    let elapsed: Elapsed = runtime.block_on(async {
        let began = clock.now();
        let line = line!() + 1;
        let elapsed = timeout(250 * US, std::future::pending::<()>()).await.expect_err("no end");
        assert_eq!((elapsed.location().file(), elapsed.location().line()), (file!(), line));
        assert_eq!(elapsed.budget(), 250 * US);
        assert_eq!(elapsed.deadline(), began + 250 * US);
        assert_eq!(elapsed.firing().fired, began + 250 * US, "to the nanosecond, on this clock");
        elapsed
    });
    let said = elapsed.to_string();
    assert!(said.contains("250µs") && said.contains("guards.rs"), "{said}");
    let error = io::Error::from(elapsed);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Elapsed>());
    assert_eq!(inner.expect("it comes out whole").budget(), 250 * US);

    let (budget, past) = runtime.block_on(async {
        let past = clock.now() - Duration::from_secs(5);
        let elapsed = timeout_at(past, std::future::pending::<()>()).await.expect_err("no end");
        (elapsed.budget(), elapsed.firing().lateness())
    });
    assert_eq!(budget, Duration::ZERO, "a deadline in the past gives no time");
    assert_eq!(past, Duration::from_secs(5));
}

/// Says when it is dropped.
struct Witness(Rc<Cell<bool>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn what_has_timed_out_is_dropped_and_leaves_nothing() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let dropped = Rc::new(Cell::new(false));
        let witness = Witness(dropped.clone());
        let endless = async move {
            let _witness = witness;
            sleep(Duration::MAX).await;
        };
        timeout(MS, endless).await.expect_err("no end");
        assert!(dropped.get());
        // Nested bounds: the nearer one ends it, and the other is gone without a trace.
        let began = clock.now();
        let nested = timeout(5 * MS, timeout(2 * MS, std::future::pending::<()>())).await;
        assert!(matches!(nested, Ok(Err(inner)) if inner.budget() == 2 * MS));
        let nested = timeout(2 * MS, timeout(5 * MS, std::future::pending::<()>())).await;
        assert!(matches!(nested, Err(outer) if outer.budget() == 2 * MS));
        assert_eq!(clock.now() - began, 4 * MS);
    });
    assert_eq!((runtime.metrics().live_timers, runtime.metrics().live_wheel_entries), (0, 0));
}
