//! S: signals, stops, and child processes.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal::SIGALRM;
use punctual::net::transport::Udp;
use punctual::net::{Batch, UnixListener, UnixStream};
use punctual::reactor::{Direction, Done, Failure, Readiness, Registration};
use punctual::{Instant, Runtime, sleep, spawn};
use punctual_reactor::rig::SignalStorm;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::child::{self, Talking};
use crate::support::post::{Couple, unix_name};
use crate::support::{self, MS, US, now_ns, wire};
use crate::timers::never_early::sweep;

/// Signals to the thread that made it, until it is dropped.
///
/// Those of a process-wide timer go to the main thread, where the test harness waits, and would never
/// interrupt a loop that runs on another.
struct Aimed {
    over: Arc<AtomicBool>,
    shooter: Option<std::thread::JoinHandle<()>>,
}

impl Aimed {
    fn at_this_thread(period: Duration) -> Aimed {
        let (target, over) = (pthread_self(), Arc::new(AtomicBool::new(false)));
        let until = over.clone();
        let shooter = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                pthread_kill(target, SIGALRM).expect("the target lives: it joins this thread");
                std::thread::sleep(period);
            }
        });
        Aimed { over, shooter: Some(shooter) }
    }
}

impl Drop for Aimed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.shooter.take().map(std::thread::JoinHandle::join));
    }
}

/// Runs `test` on each alarm while its thread is hit by a signal every `period`.
fn under_a_storm(period: Duration, sa_restart: bool, test: impl Fn(&Runtime) + Sync) {
    // The handler belongs to the process, so it is installed by one test at a time.
    static HANDLER: Mutex<()> = Mutex::new(());
    let _handler = HANDLER.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = SignalStorm::start(Duration::from_secs(3_600), sa_restart).expect("a handler");
    support::for_each_alarm(|runtime| {
        let quiet = time_of_some_sleeps(runtime);
        let _aimed = Aimed::at_this_thread(period);
        let stormy = time_of_some_sleeps(runtime);
        assert!(
            stormy < 3 * quiet,
            "waits go on where they were interrupted: {stormy:?} after {quiet:?}"
        );
        test(runtime);
        let metrics = runtime.metrics();
        assert!(metrics.polls > metrics.turns + 20, "sleeps were interrupted: {metrics:?}");
    });
    assert!(rig.signals() > 100, "{} signals", rig.signals());
}

/// With nothing else on the loop that could end a wait.
fn time_of_some_sleeps(runtime: &Runtime) -> Duration {
    let before_ns = now_ns();
    runtime.block_on(async {
        for _ in 0..20 {
            support::never_early_sleep(5 * MS).await;
        }
    });
    Duration::from_nanos(now_ns() - before_ns)
}

/// Timers, timeouts and I/O, all of which are to notice nothing.
fn live_through_it(runtime: &Runtime) {
    let echoing = runtime.spawn(async {
        let (near, far) = wire::pair();
        let echo = wire::spawn_echo(far);
        for round in 0..100 {
            near.round_trip(round).await.expect("no signal leaks out of an operation");
            sleep(3 * MS).await;
        }
        drop(echo);
    });
    let reading = runtime.spawn(async {
        for budget in [900 * US, 5 * MS, 100 * MS] {
            let (near, _far) = wire::pair();
            let before = now_ns();
            near.io.set_timeout(Direction::Read, Some(budget)).expect("open");
            let read = near.read_byte().await;
            assert!(matches!(read, Err(Failure::Elapsed(_))), "{read:?}");
            assert!(now_ns() - before >= budget.as_nanos() as u64, "never early");
        }
    });
    sweep(runtime, 60, 9, 9);
    runtime.block_on(async {
        echoing.await.expect("the echo goes on");
        reading.await.expect("the deadlines hold");
    });
}

#[test]
fn s01_a_signal_storm_makes_nothing_early_and_interrupts_nobody() {
    let _watchdog = support::watchdog("s01", Duration::from_secs(12));
    under_a_storm(MS, false, live_through_it);
    under_a_storm(200 * US, false, live_through_it);
}

#[test]
fn s02_nor_does_one_that_asks_for_system_calls_to_be_restarted() {
    let _watchdog = support::watchdog("s02", Duration::from_secs(12));
    under_a_storm(200 * US, true, live_through_it);
}

/// Datagrams, batches of them, and a full backlog, for as long as a few hundred signals.
fn sockets_live_through_it(runtime: &Runtime) {
    runtime.block_on(async {
        let ((left, left_at), (right, _)) = (Udp::bound(), Udp::bound());
        let began_ns = now_ns();
        let mut batch = Batch::new(4, 16);
        while now_ns() - began_ns < 200_000_000 {
            let sent = right.send_batch_to(&[(b"one", left_at), (b"two", left_at)]).await;
            assert_eq!(sent.expect("not interrupted"), 2);
            let mut received = 0;
            while received < 2 {
                received += left.recv_batch(&mut batch).await.expect("not interrupted");
            }
            let armed_ns = now_ns();
            left.set_read_timeout(Some(5 * MS)).expect("open");
            let error = left.recv_from(&mut [0; 8]).await.expect_err("silence");
            assert!(error.is_timeout() && now_ns() - armed_ns >= 5_000_000, "{error}");
            left.set_read_timeout(None).expect("open");
        }
        let address = unix_name("storm");
        let _listener = UnixListener::bind_with_backlog(&address, 0).expect("bound");
        let mut waiting = Vec::new();
        loop {
            let armed_ns = now_ns();
            match UnixStream::connect_timeout(&address, 60 * MS).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => {
                    assert!(error.is_timeout() && now_ns() - armed_ns >= 60_000_000, "{error}");
                    break;
                }
            }
        }
    });
}

#[test]
fn s04_datagrams_and_unix_sockets_are_not_interrupted() {
    let _watchdog = support::watchdog("s04", Duration::from_secs(12));
    under_a_storm(200 * US, false, sockets_live_through_it);
}

/// A descriptor that somebody else owns.
struct Borrowed(RawFd);

impl Source for Borrowed {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> std::io::Result<()> {
        SourceFd(&self.0).register(to, token, interest)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> std::io::Result<()> {
        SourceFd(&self.0).reregister(to, token, interest)
    }

    fn deregister(&mut self, from: &Registry) -> std::io::Result<()> {
        SourceFd(&self.0).deregister(from)
    }
}

/// Waits for three things, all of which become due while the process is stopped.
fn wait_through_a_stop() {
    let runtime = Runtime::new().expect("a runtime");
    let stdin = std::io::stdin();
    rustix::io::ioctl_fionbio(&stdin, true).expect("a pipe can be told not to block");
    let due = 800 * MS;
    runtime.block_on(async {
        let began_ns = now_ns();
        let deadline = Instant::now() + due;
        let told = Registration::new(Borrowed(stdin.as_raw_fd()), Interest::READABLE, Readiness::NONE);
        let told = told.expect("a pipe can be watched");
        told.set_deadline(Direction::Read, Some(deadline)).expect("open");
        let reading = spawn(async move {
            let mut bytes = [0; 8];
            let read = |_: &Borrowed| {
                let read = rustix::io::read(std::io::stdin(), &mut bytes)?;
                Ok(Done::bytes(read, 8))
            };
            (told.operate(Direction::Read, read).await, Instant::now())
        });
        let (near, _far) = wire::pair();
        near.io.set_deadline(Direction::Read, Some(deadline)).expect("open");
        let silent = spawn(async move { (near.read_byte().await, Instant::now()) });
        let sleeping = spawn(async move {
            punctual::sleep_until(deadline).await;
            Instant::now()
        });
        punctual::yield_now().await;
        child::say("waiting");
        let (read, read_at) = reading.await.expect("no panic");
        assert!(matches!(read, Ok(4)), "data that came during the stop is no timeout: {read:?}");
        let (silence, ended_at) = silent.await.expect("no panic");
        assert!(matches!(silence, Err(Failure::Elapsed(_))), "{silence:?}");
        let slept_at = sleeping.await.expect("no panic");
        assert!(read_at <= ended_at && read_at <= slept_at, "readiness first");
        assert!(now_ns() - began_ns >= due.as_nanos() as u64);
    });
    let drift = runtime.drift();
    assert_eq!((drift.early, runtime.metrics().live_timers), (0, 0));
    assert!(drift.total.max() >= 200 * MS, "the stall shows as drift: {:?}", drift.total.max());
}

#[test]
fn s05_what_becomes_due_while_the_process_is_stopped_ends_once_and_in_order() {
    if child::plays("stopped") {
        return wait_through_a_stop();
    }
    let _watchdog = support::watchdog("s05", Duration::from_secs(3));
    let test = "signals::s05_what_becomes_due_while_the_process_is_stopped_ends_once_and_in_order";
    let mut command = child::command(test, "stopped");
    command.stdin(Stdio::piped());
    let mut stopped = Talking::start(command);
    stopped.wait_for("waiting");
    let pid = Pid::from_child(&stopped.child);
    kill_process(pid, Signal::STOP).expect("stopped");
    let mut stdin = stopped.child.stdin.take().expect("it was piped");
    stdin.write_all(b"data").expect("room in the pipe");
    std::thread::sleep(1_200 * MS);
    kill_process(pid, Signal::CONT).expect("continued");
    stopped.succeed();
}

#[test]
fn s06_child_processes_steal_no_events() {
    let _watchdog = support::watchdog("s06", Duration::from_secs(3));
    support::for_each_alarm(|runtime| {
        let round_trips = runtime.block_on(async {
            let (near, far) = wire::pair();
            let echo = wire::spawn_echo(far);
            for round in 0..20 {
                let mut child = Command::new("sh")
                    .args(["-c", "read word; exit 7"])
                    .stdin(Stdio::piped())
                    .spawn()
                    .expect("a shell");
                near.round_trip(round).await.expect("while the child lives");
                sleep(100 * US).await;
                drop(child.stdin.take());
                assert_eq!(child.wait().expect("its end").code(), Some(7));
                near.round_trip(round).await.expect("after it has ended");
            }
            near.io.close();
            echo.await.expect("no panic").expect("no failure")
        });
        assert_eq!(round_trips, 40);
    });
}

/// The descriptors that a program started from here finds open.
fn inherited() -> Vec<String> {
    let listing = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("`ls` runs");
    let text = String::from_utf8(listing.stdout).expect("text");
    let names = text.lines().filter(|line| line.contains("->"));
    names.filter_map(|line| line.split_whitespace().nth(8).map(str::to_owned)).collect()
}

#[test]
fn f07_nothing_of_the_loop_is_inherited_by_other_programs() {
    if !child::plays("a parent") {
        let test = "signals::f07_nothing_of_the_loop_is_inherited_by_other_programs";
        return child::succeed(child::command(test, "a parent"));
    }
    let before = inherited();
    assert!(before.len() >= 3, "the listing was understood: {before:?}");
    let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    let ours = open();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (near, _far) = wire::pair();
        let _running = spawn(async move { near.read_byte().await });
        sleep(MS).await;
        assert!(open() >= ours + 5, "epoll, eventfd, timerfd and the pair");
        assert_eq!(inherited(), before);
    });
}
