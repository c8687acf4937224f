//! The same wait again and again.

use std::time::Duration;

use fastrand::Rng;
use punctual::{Instant, MissedTicks, interval, interval_at, sleep};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::child::{self, Talking};
use crate::support::{self, MS, NS, virtual_runtime, wire};

/// When ticks came and when they were due, in milliseconds, with a period of 100 and nobody waiting from the
/// tick at 0 until `stall`.
fn ticks(missed: MissedTicks, stall: u64, count: usize) -> Vec<(u64, u64)> {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = clock.now();
        let ms = |at: Instant| (at - began).as_millis() as u64;
        let mut interval = interval(100 * MS).with_missed_ticks(missed);
        let mut seen = Vec::new();
        for n in 0..count {
            let due = interval.tick().await;
            seen.push((ms(clock.now()), ms(due)));
            if n == 0 {
                clock.advance(Duration::from_millis(stall));
            }
        }
        seen
    })
}

#[test]
fn t19_missed_ticks_by_the_table() {
    let burst = [(0, 0), (350, 100), (350, 200), (350, 300), (400, 400), (500, 500)];
    assert_eq!(ticks(MissedTicks::Burst, 350, 6), burst);
    let delay = [(0, 0), (350, 100), (450, 450), (550, 550)];
    assert_eq!(ticks(MissedTicks::Delay, 350, 4), delay);
    let skip = [(0, 0), (350, 100), (400, 400), (500, 500)];
    assert_eq!(ticks(MissedTicks::Skip, 350, 4), skip);
    for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
        let in_time = [(0, 0), (100, 100), (200, 200), (300, 300)];
        assert_eq!(ticks(missed, 0, 4), in_time);
        assert_eq!(ticks(missed, 99, 4), in_time);
        assert_eq!(ticks(missed, 100, 4), in_time, "an exact period is no miss");
    }
    assert_eq!(ticks(MissedTicks::Skip, 300, 3), [(0, 0), (300, 100), (400, 400)], "an exact multiple");
    assert_eq!(MissedTicks::default(), MissedTicks::Skip, "never a silent burst");
}

#[test]
fn t20_an_interval_does_not_drift() {
    let _watchdog = support::watchdog("t20", Duration::from_secs(3));
    support::for_each_alarm(|runtime| {
        let mut rng = Rng::with_seed(20);
        runtime.block_on(async {
            let (start, period) = (Instant::now(), 10 * MS);
            let mut interval = interval_at(start, period);
            let mut last = None;
            for _ in 0..100 {
                let due = interval.tick().await;
                let seen = Instant::now();
                assert!(seen >= due, "never early");
                assert!(last.is_none_or(|last| due > last), "each once");
                let offset = (due - start).as_nanos();
                assert_eq!(offset % period.as_nanos(), 0, "on the grid of the first, however late");
                last = Some(due);
                // Work that takes up to half a period.
                let until = seen + rng.u64(..5_000_000) as u32 * NS;
                while Instant::now() < until {}
            }
        });
    });
}

#[test]
fn t21_a_ticker_of_one_nanosecond_leaves_room_for_others() {
    let _watchdog = support::watchdog("t21", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            let ticker = runtime.spawn(async move {
                let mut interval = interval(NS).with_missed_ticks(missed);
                loop {
                    interval.tick().await;
                }
            });
            runtime.block_on(async {
                let (near, far) = wire::pair();
                let echo = wire::spawn_echo(far);
                for round in 0..300 {
                    near.round_trip(round as u8).await.expect("the echo is served");
                    if round % 100 == 0 {
                        sleep(MS).await;
                    }
                }
                near.io.close();
                assert!(matches!(echo.await, Ok(Ok(300))));
                assert!(!ticker.is_finished());
                ticker.abort();
                assert!(ticker.await.expect_err("it never ends").is_aborted());
            });
        }
    });
}

const PERIOD: Duration = Duration::from_millis(20);

/// Ticks until one interval has been stopped for more than five periods, then six times more.
fn tick_through_a_stop(missed: MissedTicks) {
    support::for_each_alarm(|runtime| {
        let seen = runtime.block_on(async {
            let mut interval = interval(PERIOD).with_missed_ticks(missed);
            let (mut seen, mut left) = (Vec::new(), None);
            while left != Some(0) {
                let due = interval.tick().await;
                let at = Instant::now();
                let stopped = seen.last().is_some_and(|(_, before)| at - *before > 6 * PERIOD);
                seen.push((due, at));
                left = if stopped { Some(6) } else { left.map(|left: u32| left - 1) };
                if seen.len() == 1 {
                    child::say("ticking");
                }
            }
            seen
        });
        for pair in seen.windows(2) {
            let [(due, at), (next_due, next_at)] = pair else { unreachable!("windows of two") };
            assert!(next_at >= next_due && next_due > due, "never early, in order, each once");
            let expected = match missed {
                _ if *due + PERIOD > *at => due.as_nanos() + PERIOD.as_nanos() as u64,
                MissedTicks::Burst => due.as_nanos() + PERIOD.as_nanos() as u64,
                // The clock is read once more within `tick`, a little before `at`.
                MissedTicks::Delay => {
                    assert!(*next_due <= *at + PERIOD && *next_due >= *due + PERIOD);
                    continue;
                }
                MissedTicks::Skip => {
                    assert_eq!((*next_due - *due).as_nanos() % PERIOD.as_nanos(), 0);
                    assert!(*next_due <= *at + PERIOD);
                    assert!(
                        *at - *due < 5 * PERIOD || *next_due + PERIOD > *at,
                        "what was missed is skipped"
                    );
                    continue;
                }
            };
            assert_eq!(next_due.as_nanos(), expected, "{missed:?}");
        }
        let missed_then = seen.iter().filter(|(due, at)| *at - *due >= PERIOD).count();
        assert!(missed != MissedTicks::Burst || missed_then >= 5, "all that were missed: {missed_then}");
    });
}

#[test]
fn t29_ticks_missed_while_stopped_follow_the_policy() {
    let policies =
        [("burst", MissedTicks::Burst), ("delay", MissedTicks::Delay), ("skip", MissedTicks::Skip)];
    if let Some((_, missed)) = policies.into_iter().find(|(role, _)| child::plays(role)) {
        return tick_through_a_stop(missed);
    }
    let _watchdog = support::watchdog("t29", Duration::from_secs(3));
    support::on_threads(policies, |(role, _)| {
        let test = "timers::intervals::t29_ticks_missed_while_stopped_follow_the_policy";
        let mut ticking = Talking::start(child::command(test, role));
        // One for each alarm.
        ticking.wait_for("ticking");
        ticking.wait_for("ticking");
        let pid = Pid::from_child(&ticking.child);
        kill_process(pid, Signal::STOP).expect("stopped");
        std::thread::sleep(15 * PERIOD);
        kill_process(pid, Signal::CONT).expect("continued");
        ticking.succeed();
    });
}
