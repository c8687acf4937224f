//! Child processes under deadlines, and no zombie in any case.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use punctual::process::Command;
use punctual::reactor::Failure;
use punctual::signal::SignalKind;
use punctual::{Instant, Runtime, sleep, spawn, timeout, yield_now};

use crate::support::child::{self, Talking};
use crate::support::net::{Class, assert_baseline, on_alarms, times_out};
use crate::support::{self, MS, now_ns};

const SECOND: Duration = Duration::from_secs(1);

fn class<T>(result: Result<T, Failure>) -> Result<T, Class> {
    result.map_err(|failure| Class::from(&failure))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The state of a process by the kernel's account: `Z` is a zombie, `None` is gone.
fn state(process: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}

/// Waits until nothing is left of a process, and fails if that does not happen.
async fn is_reaped(process: u32) {
    let patience = Instant::now() + 5 * SECOND;
    while let Some(state) = state(process) {
        assert!(Instant::now() < patience, "process {process} is still there, in state {state}");
        sleep(MS).await;
    }
}

#[test]
fn an_exit_is_awaited_under_a_deadline_and_told_again() {
    on_alarms("exit", async |_| {
        let mut child = shell("exec sleep 60").spawn().expect("started");
        let process = child.id().expect("it runs");
        let armed_ns = now_ns();
        child.set_exit_timeout(Some(4 * MS));
        times_out(armed_ns, 4 * MS, async { class(child.wait().await) }).await;
        child.set_exit_timeout(None);
        let armed_ns = now_ns();
        child.set_exit_deadline(Some(Instant::now() + 4 * MS));
        times_out(armed_ns, 4 * MS, async { class(child.wait().await) }).await;
        child.set_exit_deadline(None);
        // A wait that is given up does no harm.
        assert!(timeout(2 * MS, child.wait()).await.is_err());
        assert_eq!(child.try_wait().expect("it runs"), None);
        assert_ne!(state(process), Some('Z'));
        child.kill().expect("killed");
        let status = child.wait().await.expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert_eq!(state(process), None, "reaped by the wait");
        assert_eq!(child.wait().await.expect("again"), status);
        assert_eq!(child.try_wait().expect("again"), Some(status));
        assert_eq!(child.id(), None, "its number may be another's");
        child.kill().expect("one that has ended is left alone");
        // Codes come through.
        for code in [0, 1, 77] {
            let mut child = shell(&format!("exit {code}")).spawn().expect("started");
            assert_eq!(child.wait().await.expect("it ends").code(), Some(code));
        }
    });
}

#[test]
fn an_exit_that_came_in_time_is_no_timeout() {
    on_alarms("in time", async |_| {
        let mut child = shell("exit 3").spawn().expect("started");
        child.set_exit_deadline(Some(Instant::now() + 300 * MS));
        // The loop is held up past the deadline while the child ends.
        let waiting = spawn(async move { class(child.wait().await) });
        yield_now().await;
        std::thread::sleep(400 * MS);
        assert_eq!(waiting.await.expect("no panic").map(|status| status.code()), Ok(Some(3)));
    });
}

#[test]
fn a_stubborn_child_is_asked_then_killed_and_a_good_one_only_asked() {
    on_alarms("terminate", async |_| {
        let mut good = shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done");
        let mut good = good.stdout(Stdio::piped()).spawn().expect("started");
        good.stdout.as_ref().expect("piped").read(&mut [0; 16]).await.expect("it is ready");
        let status = good.terminate_then_kill(10 * SECOND).await.expect("it ends");
        assert_eq!(status.code(), Some(9), "it had its grace");

        let mut stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        let mut stubborn = stubborn.stdout(Stdio::piped()).spawn().expect("started");
        let process = stubborn.id().expect("it runs");
        stubborn.stdout.as_ref().expect("piped").read(&mut [0; 16]).await.expect("it is ready");
        // A deadline that has passed is no reason not to wait for the end.
        stubborn.set_exit_deadline(Some(Instant::now()));
        let before = now_ns();
        let status = stubborn.terminate_then_kill(30 * MS).await.expect("it ends");
        assert!(now_ns() - before >= 30_000_000, "not before its grace is over");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert_eq!(state(process), None);
        let again = stubborn.terminate_then_kill(30 * MS).await.expect("it has ended");
        assert_eq!(again, status);

        // Given up half way: killed and reaped all the same.
        let mut left = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        let mut left = left.stdout(Stdio::piped()).spawn().expect("started");
        let process = left.id().expect("it runs");
        left.stdout.as_ref().expect("piped").read(&mut [0; 16]).await.expect("it is ready");
        assert!(timeout(5 * MS, left.terminate_then_kill(60 * SECOND)).await.is_err());
        drop(left);
        is_reaped(process).await;
    });
}

#[test]
fn what_is_dropped_is_reaped_or_killed_as_it_was_told() {
    on_alarms("dropped", async |runtime| {
        // Killed.
        let child = shell("exec sleep 60").kill_on_drop(true).spawn().expect("started");
        let process = child.id().expect("it runs");
        drop(child);
        is_reaped(process).await;
        // Left to itself: it runs on, and is reaped when it ends.
        let mut child = shell("read word; exit 3").stdin(Stdio::piped()).spawn().expect("started");
        let stdin = child.stdin.take().expect("piped");
        let process = child.id().expect("it runs");
        drop(child);
        sleep(2 * MS).await;
        assert!(state(process).is_some_and(|state| state != 'Z'), "it runs on");
        assert_eq!(runtime.metrics().live_tasks, 1, "the one that will reap it");
        drop(stdin);
        is_reaped(process).await;
        // Ended before it was dropped, with nobody asking.
        let child = shell("exit 0").spawn().expect("started");
        let process = child.id().expect("it runs");
        while state(process) != Some('Z') {
            sleep(MS).await;
        }
        drop(child);
        assert_eq!(state(process), None, "reaped by the drop");
    });
}

#[test]
fn children_that_outlive_their_runtime_are_reaped_too() {
    let _watchdog = support::watchdog("orphans", SECOND);
    let mut processes = Vec::new();
    for _ in 0..5 {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let kept = shell("sleep 0.05").spawn().expect("started");
            processes.push(kept.id().expect("it runs"));
            // One that a task waits for when the runtime goes, and one that was dropped before.
            drop(spawn(async move {
                let mut kept = kept;
                kept.wait().await
            }));
            let dropped = shell("sleep 0.05").spawn().expect("started");
            processes.push(dropped.id().expect("it runs"));
            drop(dropped);
            yield_now().await;
        });
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for process in processes {
            is_reaped(process).await;
        }
    });
}

#[test]
fn what_a_child_writes_is_collected_from_both_pipes_at_once() {
    on_alarms("output", async |_| {
        // More than either pipe holds, by turns: read one to its end first, and it stands still.
        let script = "i=0; while [ $i -lt 64 ]; do head -c 8192 /dev/zero; head -c 8192 /dev/zero >&2; \
                      i=$((i+1)); done; exit 5";
        let output = shell(script).output(30 * SECOND, 1 << 20).await.expect("collected");
        assert_eq!((output.stdout.len(), output.stderr.len()), (64 * 8192, 64 * 8192));
        assert_eq!(output.status.code(), Some(5));
        let output =
            shell("cat; echo out; echo err >&2").output(10 * SECOND, 4).await.expect("collected");
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    });
}

#[test]
fn an_output_too_late_or_too_much_is_ended_with_its_child() {
    on_alarms("limits", async |runtime| {
        let armed_ns = now_ns();
        // The child of the child keeps the pipes open after its parent's end.
        let late = async { class(shell("sleep 2 & exit 0").output(30 * MS, 100).await).map(drop) };
        times_out(armed_ns, 30 * MS, late).await;
        assert!(now_ns() - armed_ns < 1_500_000_000, "it did not wait for the heir");
        let much = shell("exec cat /dev/zero").output(30 * SECOND, 100_000).await.expect_err("too much");
        let Failure::Io(error) = much else { panic!("{much:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("100000 bytes"), "{error}");
        let none =
            Command::new("/no/such/program").output(SECOND, 100).await.expect_err("there is none");
        assert!(matches!(&none, Failure::Io(error) if error.kind() == std::io::ErrorKind::NotFound));
        // Those that were killed are reaped by tasks of the runtime.
        let patience = Instant::now() + 5 * SECOND;
        while runtime.metrics().live_tasks > 0 {
            assert!(Instant::now() < patience, "never reaped");
            sleep(MS).await;
        }
    });
}

#[test]
fn words_go_in_and_come_out() {
    on_alarms("cat", async |_| {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
        let stdin = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        stdout.set_timeout(Some(3 * MS)).expect("open");
        let armed_ns = now_ns();
        times_out(armed_ns, 3 * MS, async { class(stdout.read(&mut [0; 8]).await) }).await;
        stdout.set_timeout(None).expect("open");
        stdin.write_all(b"hello").await.expect("written");
        let mut heard = [0; 8];
        assert_eq!(class(stdout.read(&mut heard).await), Ok(5));
        assert_eq!(&heard[..5], b"hello");
        drop(stdin);
        assert_eq!(class(stdout.read(&mut heard).await), Ok(0));
        assert!(child.wait().await.expect("it ends").success());
        // A child that has ended breaks the pipe.
        let mut child = shell("exit 0").stdin(Stdio::piped()).spawn().expect("started");
        let stdin = child.stdin.take().expect("piped");
        child.wait().await.expect("it ends");
        // By and by: a child that another thread is starting holds copies of all pipes until it becomes its program.
        let patience = Instant::now() + 5 * SECOND;
        let broken = loop {
            assert!(Instant::now() < patience, "never broken");
            match class(stdin.write(b"x").await) {
                Ok(1) => sleep(MS).await,
                ended => break ended,
            }
        };
        assert_eq!(broken, Err(Class::Errno(libc::EPIPE)));
    });
}

#[test]
fn a_hundred_children_at_once() {
    on_alarms("a hundred", async |_| {
        let children: Vec<_> = (0..100)
            .map(|code| {
                let mut child = shell(&format!("exit {}", code % 50)).spawn().expect("started");
                spawn(async move { (code, child.wait().await) })
            })
            .collect();
        for child in children {
            let (code, status) = child.await.expect("no panic");
            assert_eq!(status.expect("it ends").code(), Some(code % 50));
        }
    });
}

/// The same without pidfds: the exit is found by asking when a SIGCHLD has come.
#[test]
fn without_pidfds_exits_are_found_through_sigchld() {
    if child::plays("a kernel without pidfds") {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let descriptors = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
            let before = descriptors();
            let mut child = shell("exec sleep 60").spawn().expect("started");
            assert_eq!(descriptors(), before + 2, "a socket pair, not a pidfd");
            let armed_ns = now_ns();
            child.set_exit_timeout(Some(20 * MS));
            times_out(armed_ns, 20 * MS, async { class(child.wait().await) }).await;
            let process = child.id().expect("it runs");
            let status = child.terminate_then_kill(20 * SECOND).await.expect("it ends");
            assert_eq!(status.signal(), Some(libc::SIGTERM));
            assert_eq!(state(process), None);
            let children: Vec<_> = (0..20)
                .map(|code| {
                    let mut child = shell(&format!("exit {code}")).spawn().expect("started");
                    spawn(async move { (code, child.wait().await) })
                })
                .collect();
            for child in children {
                let (code, status) = child.await.expect("no panic");
                assert_eq!(status.expect("it ends").code(), Some(code));
            }
            let child = shell("exec sleep 60").kill_on_drop(true).spawn().expect("started");
            let process = child.id().expect("it runs");
            drop(child);
            is_reaped(process).await;
        });
        return assert_baseline(&runtime);
    }
    if !support::child::strace_works() {
        return;
    }
    let _watchdog = support::watchdog("no pidfds", Duration::from_secs(6));
    let test = "child_process::without_pidfds_exits_are_found_through_sigchld";
    let inject = ["-e", "trace=pidfd_open", "-e", "inject=pidfd_open:error=ENOSYS"];
    let wrapper = [&["strace", "-f", "-o", "/dev/null"][..], &inject].concat();
    child::succeed(child::wrapped(&wrapper, test, "a kernel without pidfds"));
}

#[test]
fn a_child_that_somebody_else_reaps_is_reported_and_never_signalled() {
    if child::plays("ignores its children") {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut child = shell("exit 0").spawn().expect("started");
            let process = rustix::process::Pid::from_raw(child.id().expect("it runs") as i32);
            let reaped = rustix::process::waitpid(process, rustix::process::WaitOptions::empty());
            assert!(reaped.expect("it is ours").is_some());
            let failure = child.wait().await.expect_err("nobody knows its status");
            assert_eq!(Class::from(&failure), Class::Errno(libc::ECHILD));
            assert_eq!(child.id(), None);
            child.signal(SignalKind::TERMINATE).expect("nobody is hit");
        });
        return assert_baseline(&runtime);
    }
    let _watchdog = support::watchdog("ECHILD", SECOND);
    let test = "child_process::a_child_that_somebody_else_reaps_is_reported_and_never_signalled";
    Talking::start(child::command(test, "ignores its children")).succeed();
}

#[test]
fn f07_what_the_system_modules_open_is_not_inherited_either() {
    if !child::plays("a parent with everything") {
        let _watchdog = support::watchdog("f07", SECOND);
        let test = "child_process::f07_what_the_system_modules_open_is_not_inherited_either";
        return child::succeed(child::command(test, "a parent with everything"));
    }
    // What whoever started the tests let be inherited is there too, and stays what it is.
    let inherited = async || {
        let mut ls = Command::new("ls");
        let output = ls.arg("/proc/self/fd").output(10 * SECOND, 4096).await.expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (before, inherited_before) = (open(), inherited().await);
        let _pipe = punctual::reactor::pipe().expect("a pipe");
        let _signals = punctual::signal::signal(SignalKind::USER1).expect("a listener");
        let _file = punctual::fs::File::open("Cargo.toml").await.expect("opened");
        let piped = || Stdio::piped();
        let mut child = Command::new("cat");
        let child = child.stdin(piped()).stdout(piped()).stderr(piped()).kill_on_drop(true).spawn();
        let _child = child.expect("started");
        assert!(open() >= before + 2 + 2 + 1 + 4, "all of them are open here");
        assert_eq!(inherited().await, inherited_before);
    });
}

#[test]
fn r02_a_child_that_cannot_be_watched_for_want_of_descriptors_is_no_zombie() {
    if !child::plays("short of descriptors") {
        let _watchdog = support::watchdog("r02", SECOND);
        let test =
            "child_process::r02_a_child_that_cannot_be_watched_for_want_of_descriptors_is_no_zombie";
        return child::succeed(child::command(test, "short of descriptors"));
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count() as u64;
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let before = open();
        let mut refused = 0;
        for spare in 0..12 {
            setrlimit(Resource::Nofile, Rlimit { current: Some(before - 1 + spare), maximum })
                .expect("set");
            let child = shell("exec sleep 60").stdout(Stdio::piped()).kill_on_drop(true).spawn();
            let pipe = punctual::reactor::pipe();
            let signals = punctual::signal::signal(SignalKind::USER1);
            for error in [child.err(), pipe.err(), signals.err()].into_iter().flatten() {
                let source = error.get_ref().and_then(|said| said.source());
                let source = source.and_then(|source| source.downcast_ref::<io::Error>());
                assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EMFILE), "{error:?}");
                refused += 1;
            }
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("set");
            // Everything comes back, and works as soon as there is room.
            let patience = Instant::now() + 5 * SECOND;
            while open() != before || runtime.metrics().live_tasks > 0 {
                assert!(Instant::now() < patience, "{} of {before} with {spare} to spare", open());
                sleep(MS).await;
            }
            let output = shell("echo well").output(10 * SECOND, 100).await.expect("it runs");
            assert_eq!(output.stdout, b"well\n");
            while runtime.metrics().live_sources > 0 {
                sleep(MS).await;
            }
        }
        assert!(refused >= 6, "{refused} were refused");
        use rustix::process::{WaitOptions, wait};
        let none = wait(WaitOptions::NOHANG).err();
        assert_eq!(none, Some(rustix::io::Errno::CHILD), "no child is left, zombie or not");
    });
    assert_baseline(&runtime);
}
