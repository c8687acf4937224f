//! S: signals as events of the loop. Signals belong to the process, so each test has one to itself.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use punctual::reactor::Failure;
use punctual::signal::{SignalKind, ctrl_c, signal};
use punctual::{Instant, Runtime, interval, sleep, spawn, timeout, yield_now};
use rustix::process::{Pid, kill_process};

use crate::support::child::{self, Talking};
use crate::support::net::{Class, assert_baseline, times_out};
use crate::support::{self, ALARMS, MS, now_ns};

/// To this thread, so that the handler has run when this returns.
fn raise(signal: Signal) {
    pthread_kill(pthread_self(), signal).expect("a thread may signal itself");
}

/// Runs `body` in a process of its own.
fn alone(test: &str, body: impl FnOnce()) {
    if child::plays("alone") {
        return body();
    }
    let _watchdog = support::watchdog("signals", Duration::from_secs(6));
    child::succeed(child::command(&format!("signal_events::{test}"), "alone"));
}

/// On each alarm, one after the other: a signal is everybody's.
fn on_alarms(what: &'static str, body: impl AsyncFn(&Runtime)) {
    for alarm in ALARMS {
        let _watchdog = support::watchdog(what, Duration::from_secs(6));
        let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
        runtime.block_on(body(&runtime));
        assert_baseline(&runtime);
    }
}

fn class(result: Result<(), Failure>) -> Result<(), Class> {
    result.map_err(|failure| Class::from(&failure))
}

#[test]
fn every_listener_is_told_and_signals_coalesce() {
    alone("every_listener_is_told_and_signals_coalesce", || {
        on_alarms("listeners", async |_| {
            let listeners: Vec<_> =
                (0..3).map(|_| signal(SignalKind::USER1).expect("a listener")).collect();
            let other = signal(SignalKind::USER2).expect("a listener");
            for round in 0..3 {
                (0..=20 * round).for_each(|_| raise(Signal::SIGUSR1));
                for listener in &listeners {
                    assert_eq!(class(listener.recv().await), Ok(()), "round {round}");
                    assert!(support::poll_once(listener.recv()).is_pending(), "told as one");
                }
            }
            assert!(support::poll_once(other.recv()).is_pending(), "another signal is another's");
            // One that waits is woken; the others' drop leaves it alone.
            let mut listeners = listeners.into_iter();
            let last = listeners.next().expect("three");
            drop(listeners);
            let waiting = spawn(async move { class(last.recv().await) });
            yield_now().await;
            raise(Signal::SIGUSR1);
            assert_eq!(waiting.await.expect("no panic"), Ok(()));
        });
    });
}

#[test]
fn waits_are_bounded_and_cancel_safe() {
    alone("waits_are_bounded_and_cancel_safe", || {
        on_alarms("bounded", async |_| {
            let signals = signal(SignalKind::USER1).expect("a listener");
            let armed_ns = now_ns();
            signals.set_timeout(Some(4 * MS));
            times_out(armed_ns, 4 * MS, async { class(signals.recv().await) }).await;
            signals.set_timeout(None);
            let armed_ns = now_ns();
            signals.set_deadline(Some(Instant::now() + 4 * MS));
            times_out(armed_ns, 4 * MS, async { class(signals.recv().await) }).await;
            raise(Signal::SIGUSR1);
            assert_eq!(class(signals.recv().await), Err(Class::Timeout), "it is over before it begins");
            signals.set_deadline(None);
            assert_eq!(class(signals.recv().await), Ok(()), "and has taken nothing");
            // A wait given up takes no signal along.
            assert!(timeout(2 * MS, signals.recv()).await.is_err());
            raise(Signal::SIGUSR1);
            assert_eq!(class(signals.recv().await), Ok(()));
            signals.cancel("enough");
            assert_eq!(class(signals.recv().await), Err(Class::Cancelled));
        });
    });
}

#[test]
fn what_cannot_be_listened_for_is_refused_in_words() {
    on_alarms("refused", async |runtime| {
        for number in
            [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL]
        {
            let kind = SignalKind::from_raw(number);
            let error = signal(kind).expect_err("nobody may");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("cannot listen for {kind:?}")), "{error}");
        }
        for number in [0, -1, 32, 65, i32::MAX] {
            let error = signal(SignalKind::from_raw(number)).expect_err("there is none");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
            assert!(error.to_string().contains("cannot listen for"), "{error}");
        }
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn s03_a_storm_loses_not_the_last_and_starves_no_timer() {
    alone("s03_a_storm_loses_not_the_last_and_starves_no_timer", || {
        on_alarms("s03", async |runtime| {
            const SIGNALS: u32 = 10_000;
            let signals = signal(SignalKind::USER1).expect("a listener");
            let raised = Rc::new(Cell::new(0));
            let storm = spawn({
                let raised = raised.clone();
                async move {
                    while raised.get() < SIGNALS {
                        for _ in 0..10 {
                            raised.set(raised.get() + 1);
                            raise(Signal::SIGUSR1);
                        }
                        yield_now().await;
                    }
                }
            });
            let ticks = Rc::new(Cell::new(0_u64));
            let ticking = spawn({
                let ticks = ticks.clone();
                async move {
                    let mut every = interval(MS);
                    loop {
                        every.tick().await;
                        ticks.set(ticks.get() + 1);
                    }
                }
            });
            let (began, turns) = (Instant::now(), runtime.metrics().turns);
            let (mut told, mut seen) = (0, 0);
            while seen < SIGNALS {
                signals.recv().await.expect("the last is not lost");
                seen = raised.get();
                told += 1;
            }
            storm.await.expect("no panic");
            let (took, turns) = (began.elapsed(), runtime.metrics().turns - turns);
            println!(
                "{SIGNALS} signals in {took:?} and {turns} turns, told {told} times, {} ticks",
                ticks.get()
            );
            assert!(told <= SIGNALS);
            // One that is always due fires, runs and is armed again within a few turns of the loop.
            let due = turns.min(took.as_millis() as u64);
            assert!(ticks.get() * 4 >= due, "{} ticks where {due} were due", ticks.get());
            ticking.abort();
        });
    });
}

#[test]
fn s03_nor_does_one_from_other_threads() {
    alone("s03_nor_does_one_from_other_threads", || {
        on_alarms("s03 threads", async |_| {
            let signals = signal(SignalKind::USER2).expect("a listener");
            let storm = std::thread::spawn(|| (0..10_000).for_each(|_| raise(Signal::SIGUSR2)));
            let mut slowest = Duration::ZERO;
            while !storm.is_finished() {
                let before = now_ns();
                support::never_early_sleep(MS).await;
                slowest = slowest.max(Duration::from_nanos(now_ns() - before));
                drop(timeout(MS, signals.recv()).await);
            }
            storm.join().expect("no panic");
            println!("slowest sleep of 1 ms: {slowest:?}");
            // What is left is told once or so, and then there is silence.
            let mut left = 0;
            while timeout(20 * MS, signals.recv()).await.is_ok() {
                left += 1;
                assert!(left < 4, "coalesced");
            }
            raise(Signal::SIGUSR2);
            assert_eq!(class(signals.recv().await), Ok(()), "it still listens");
        });
    });
}

#[test]
fn dropping_the_last_listener_does_not_restore_the_default() {
    alone("dropping_the_last_listener_does_not_restore_the_default", || {
        on_alarms("dropped", async |_| {
            for _ in 0..3 {
                drop(signal(SignalKind::TERMINATE).expect("a listener"));
                raise(Signal::SIGTERM);
                sleep(MS).await;
            }
            let listener = signal(SignalKind::TERMINATE).expect("a listener");
            assert!(
                support::poll_once(listener.recv()).is_pending(),
                "what came while nobody listened is lost"
            );
            raise(Signal::SIGTERM);
            assert_eq!(class(listener.recv().await), Ok(()));
        });
    });
}

#[test]
fn other_libraries_handlers_run_beside_ours() {
    alone("other_libraries_handlers_run_beside_ours", || {
        // Installed before ours, by the bare system call; and it still counts.
        let storm = punctual_reactor::rig::SignalStorm::start(Duration::from_secs(3_600), true);
        let storm = storm.expect("a handler");
        on_alarms("beside", async |_| {
            let before = storm.signals();
            let listener = signal(SignalKind::ALARM).expect("a listener");
            raise(Signal::SIGALRM);
            assert_eq!(class(listener.recv().await), Ok(()));
            assert!(storm.signals() > before, "the handler that was there is called too");
        });
    });
}

#[test]
fn ctrl_c_ends_a_program_that_waits_for_it_and_children_inherit_no_mask() {
    if child::plays("waiting for Ctrl-C") {
        on_alarms("ctrl_c", async |_| {
            let waiting = spawn(ctrl_c());
            yield_now().await;
            child::say("waiting");
            assert_eq!(class(waiting.await.expect("no panic")), Ok(()));
            // A program started from here dies of a SIGTERM, as it should.
            let _listener = signal(SignalKind::TERMINATE).expect("a listener");
            let mut program = std::process::Command::new("sleep").arg("60").spawn().expect("a program");
            kill_process(Pid::from_child(&program), rustix::process::Signal::TERM).expect("signalled");
            let status = program.wait().expect("its end");
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(status.signal(), Some(libc::SIGTERM));
            child::say("done");
        });
        return;
    }
    let _watchdog = support::watchdog("ctrl_c", Duration::from_secs(3));
    let test = "signal_events::ctrl_c_ends_a_program_that_waits_for_it_and_children_inherit_no_mask";
    let mut child = Talking::start(child::command(test, "waiting for Ctrl-C"));
    for _ in ALARMS {
        child.wait_for("waiting");
        kill_process(Pid::from_child(&child.child), rustix::process::Signal::INT).expect("signalled");
    }
    child.succeed();
}
