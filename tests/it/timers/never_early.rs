//! Nothing fires before its deadline, on the real kernel, by clocks of the tests' own.

use std::future::pending;
use std::time::Duration;

use fastrand::Rng;
use punctual::{Instant, Leeway, Precise, Runtime, scope, sleep, spawn, timeout};

use crate::support::{self, MS, NS, US, child, never_early_sleep, now_ns, wire};

/// The durations of Go's `testVariousDeadlines`, and what has bitten others.
const VARIOUS: [Duration; 23] = [
    Duration::from_nanos(1),
    Duration::from_nanos(2),
    Duration::from_nanos(5),
    Duration::from_nanos(50),
    Duration::from_nanos(100),
    Duration::from_nanos(200),
    Duration::from_nanos(500),
    Duration::from_nanos(750),
    Duration::from_micros(1),
    Duration::from_micros(5),
    Duration::from_micros(25),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_micros(900),
    Duration::from_micros(1_000),
    Duration::from_nanos(1_000_100),
    Duration::from_micros(3_100),
    Duration::from_millis(5),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// From 1 ns to 1 s, each decade as likely as any other.
fn any_duration(rng: &mut Rng) -> Duration {
    Duration::from_nanos(10f64.powf(rng.f64() * 9.0) as u64)
}

/// Has `tasks` tasks sleep `each` times, one of the times a duration of the table, under O1.
pub(crate) fn sweep(runtime: &Runtime, tasks: usize, each: usize, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let fired_before = runtime.drift().total.count();
    let sleepers = (0..tasks).map(|task| {
        let mut rng = rng.fork();
        runtime.spawn(async move {
            never_early_sleep(VARIOUS[task % VARIOUS.len()]).await;
            for _ in 1..each {
                never_early_sleep(any_duration(&mut rng)).await;
            }
        })
    });
    let sleepers: Vec<_> = sleepers.collect();
    runtime.block_on(async {
        for sleeper in sleepers {
            sleeper.await.unwrap_or_else(|failed| panic!("seed {seed}: {failed}"));
        }
    });
    assert!(runtime.drift().total.count() - fired_before >= (tasks * each) as u64);
    assert_eq!(runtime.drift().early, 0);
}

#[test]
fn t01_never_early_sweep() {
    if child::plays("ten thousand days up") {
        assert!(now_ns() > 864_000_000 * 1_000_000_000, "the time namespace is in force");
    }
    let _watchdog = support::watchdog("t01", Duration::from_secs(10));
    for seed in support::seeds(&[1]) {
        support::for_each_alarm(|runtime| {
            sweep(runtime, 500, 21, seed);
            let metrics = runtime.metrics();
            assert_eq!((metrics.fired, metrics.live_timers, metrics.live_wheel_entries), (10_500, 0, 0));
        });
    }
}

#[test]
fn t01_never_early_while_io_keeps_the_loop_awake() {
    let _watchdog = support::watchdog("t01 under I/O", Duration::from_secs(10));
    for seed in support::seeds(&[2]) {
        support::for_each_alarm(|runtime| {
            let busy = runtime.spawn(wire::bounce());
            sweep(runtime, 500, 21, seed);
            let metrics = runtime.metrics();
            assert!(metrics.events > metrics.fired, "the echo kept the loop awake: {metrics:?}");
            busy.abort();
        });
    }
}

#[test]
fn t28_never_early_ten_thousand_days_after_boot() {
    let role = "ten thousand days up";
    let unshare = ["unshare", "-T", "--monotonic", "864000000", "--fork"];
    let possible = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        return support::skip(
            "no time namespaces here: run as root on Linux 5.6 or later, with util-linux",
        );
    }
    child::succeed(child::wrapped(&unshare, "timers::never_early::t01_never_early_sweep", role));
}

#[test]
fn t03_less_than_a_millisecond_costs_no_spin() {
    let _watchdog = support::watchdog("t03", Duration::from_secs(3));
    support::for_each_alarm(|runtime| {
        let before = runtime.metrics();
        runtime.block_on(async {
            let began_ns = now_ns();
            while now_ns() - began_ns < 2_000_000_000 {
                never_early_sleep(900 * US).await;
            }
        });
        let after = runtime.metrics();
        let (polls, fired) = (after.polls - before.polls, after.fired - before.fired);
        assert!(fired > 0 && polls <= 3 * fired, "{polls} polls for {fired} timers");
    });
}

#[test]
fn leeway_shares_wake_ups_and_is_never_early() {
    /// Returns how often the loop slept, for how many timers, within how long.
    fn run(leeway: Leeway) -> (u64, u64, Duration) {
        let runtime = Runtime::new().expect("a runtime");
        let mut rng = Rng::with_seed(3);
        let began_ns = now_ns();
        let sleepers = (0..1_000).map(|_| {
            let mut rng = rng.fork();
            runtime.spawn(async move {
                for _ in 0..20 {
                    let duration = rng.u32(1_000..50_000) * US;
                    let before = now_ns();
                    sleep(duration).with_leeway(leeway).await;
                    assert!(now_ns() - before >= duration.as_nanos() as u64);
                }
            })
        });
        let sleepers: Vec<_> = sleepers.collect();
        runtime.block_on(async {
            for sleeper in sleepers {
                sleeper.await.expect("never early");
            }
        });
        let metrics = runtime.metrics();
        assert_eq!((metrics.fired, metrics.early), (20_000, 0));
        (metrics.polls - metrics.zero_polls, metrics.fired, Duration::from_nanos(now_ns() - began_ns))
    }
    let _watchdog = support::watchdog("leeway", Duration::from_secs(5));
    let (exact_sleeps, fired, _) = run(Leeway::NONE);
    let (shared_sleeps, _, elapsed) = run(Leeway::MILLISECOND);
    // What has slept until a deadline plus a millisecond has fired all deadlines up to then.
    let most = elapsed.as_millis() as u64 + 2;
    assert!(shared_sleeps <= most, "{shared_sleeps} wakes in {elapsed:?}");
    if 4 * exact_sleeps < fired {
        return support::skip(
            "so busy a machine that even timers without leeway come in heaps; an idle one compares",
        );
    }
    assert!(
        exact_sleeps > 2 * shared_sleeps,
        "{exact_sleeps} and {shared_sleeps} wakes for {fired} timers"
    );
}

#[test]
fn precise_mode_is_never_early_and_keeps_to_its_share() {
    let _watchdog = support::watchdog("precise mode", Duration::from_secs(2));
    let mut precise = Precise::DEFAULT;
    // So little that what is spun without regard to it would be told apart.
    precise.share = 0.002;
    support::for_each_alarm_with(
        |builder| builder.precise(precise),
        |runtime| {
            let began_ns = now_ns();
            runtime.block_on(async {
                while now_ns() - began_ns < 1_000_000_000 {
                    never_early_sleep(MS + 300 * US).await;
                }
            });
            let elapsed = Duration::from_nanos(now_ns() - began_ns);
            let spun = Duration::from_nanos(runtime.metrics().spun_ns);
            // The account allows for a burst; a spin that was preempted shows as a late firing.
            let burst = 4 * MS + precise.lead_max + runtime.drift().total.max();
            assert!(spun > Duration::ZERO, "it spins at all");
            assert!(spun <= elapsed.mul_f64(precise.share) + burst, "spun {spun:?} of {elapsed:?}");
        },
    );
}

#[test]
fn timeouts_are_never_early() {
    let _watchdog = support::watchdog("timeouts", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            for duration in VARIOUS.into_iter().filter(|duration| *duration <= 100 * MS) {
                let before = now_ns();
                let elapsed = timeout(duration, pending::<()>()).await.expect_err("no end");
                let passed = Duration::from_nanos(now_ns() - before);
                assert!(passed >= duration, "a timeout of {duration:?} after {passed:?}");
                assert!(elapsed.firing().fired >= elapsed.deadline());
            }
        });
    });
}

/// No deadline is set from a time that the loop has kept since its turn began: what a poll has taken until then is not taken
/// off what is asked for in it.
#[test]
fn time_counts_from_when_it_is_asked_for_however_long_the_poll_has_lasted() {
    let (runtime, clock) = support::virtual_runtime();
    runtime.block_on(async {
        let (near, _far) = punctual::net::duplex(16);
        near.set_read_timeout(Some(10 * MS)).expect("open");
        for bound in 0..4 {
            sleep(MS).await;
            clock.advance(50 * MS);
            assert_eq!(Instant::now(), clock.now());
            let asked = clock.now();
            match bound {
                0 => sleep(10 * MS).await,
                1 => drop(timeout(10 * MS, pending::<()>()).await.expect_err("no end")),
                2 => drop(
                    scope("bounded", 10 * MS, async |_| pending::<()>().await)
                        .await
                        .expect_err("no end"),
                ),
                _ => drop(near.read(&mut [0; 8]).await.expect_err("no data")),
            }
            assert_eq!(clock.now() - asked, 10 * MS, "bound {bound}");
        }
    });
}

#[test]
fn t25_the_runtimes_own_account_adds_up() {
    let _watchdog = support::watchdog("t25", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        let sleepers = (0..50).map(|n| {
            runtime.spawn(async move {
                let mut sleep = Box::pin(sleep(MS + n * 700 * US));
                sleep.as_mut().await;
                let seen_ns = now_ns();
                let firing = sleep.firing().expect("it has fired");
                let parts = firing.quantisation + firing.kernel + firing.in_loop;
                assert_eq!(parts, firing.lateness());
                assert!(seen_ns >= firing.fired.as_nanos() && firing.fired >= firing.deadline);
                firing.lateness()
            })
        });
        let sleepers: Vec<_> = sleepers.collect();
        let mut late = Vec::new();
        runtime.block_on(async {
            for sleeper in sleepers {
                late.push(sleeper.await.expect("an account"));
            }
        });
        let drift = runtime.drift();
        assert_eq!(drift.total.count(), 50);
        assert_eq!(drift.total.max(), late.into_iter().max().expect("fifty"));
        let parts = [&drift.quantisation, &drift.kernel, &drift.in_loop];
        let means: Duration = parts.iter().map(|part| part.mean()).sum();
        assert!(drift.total.mean().abs_diff(means) <= 3 * NS, "the parts' means add up to the whole's");
    });
}

#[test]
fn t24_an_earlier_deadline_from_another_thread_ends_a_long_sleep() {
    let _watchdog = support::watchdog("t24", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let long = spawn(sleep(Duration::from_secs(100)));
            let (near, far) = wire::pair();
            let (handle, token) = (runtime.handle(), near.io.token());
            let set_ns = std::thread::spawn(move || {
                let set_ns = now_ns();
                let deadline = punctual::Instant::now() + 20 * MS;
                handle.set_deadline(token, None, Some(deadline)).expect("the loop listens");
                set_ns
            });
            let read = near.read_byte().await;
            let ended_ns = now_ns();
            assert!(matches!(read, Err(punctual::reactor::Failure::Elapsed(_))), "{read:?}");
            assert!(ended_ns - set_ns.join().expect("it set one") >= 20_000_000, "never early");
            assert!(!long.is_finished(), "the long sleep goes on");
            drop(far);
        });
    });
}
