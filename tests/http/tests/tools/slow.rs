//! slowhttptest in its four modes: what drips is ended, and who is not slow notices nothing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use punctual_tests_http::rig::watchdog;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Directory, Server, text, tool};

const BUDGET: Duration = Duration::from_secs(20);

/// How long slowhttptest goes on, unless all its connections are gone before.
const SECONDS: &str = "25";

/// Lets it loose with 200 connections; how long it had any left. Others are served meanwhile.
#[track_caller]
fn attack(server: &Server, mode: &[&str], path: &str) -> Option<Duration> {
    let mut slow: Command = tool("slowhttptest")?;
    slow.args(["-c", "200", "-r", "200", "-i", "1", "-l", SECONDS, "-p", "3", "-v", "1"]).args(mode);
    slow.args(["-u", &server.url(path)]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut running = slow.spawn().expect("it starts");
    let mut asked = 0;
    while running.try_wait().expect("a child of ours").is_none() {
        assert!(server.is_prompt(), "somebody had to wait during {mode:?}");
        asked += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    let lasted = began.elapsed();
    let said = text(&running.wait_with_output().expect("it has ended"));
    assert!(asked > 3, "it ended at once: {said}");
    // Its own probe has been served throughout, and its connections were ended by us, not by its time.
    assert!(said.contains("No open connections left"), "{mode:?} after {lasted:?}: {said}");
    eprintln!("slowhttptest {mode:?}: all of 200 connections ended within {lasted:?}");
    Some(lasted)
}

/// P02: a header line a second is not enough.
#[test]
fn p02_slow_headers_are_ended() {
    let _watchdog = watchdog("slow headers", BUDGET);
    let server = Server::start(&["--header", "3s", "--first-byte", "2s"]);
    let Some(lasted) = attack(&server, &["-H"], "/hello") else { return };
    assert!(lasted >= Duration::from_secs(3), "{lasted:?}");
}

/// P03: a body that trickles is below the minimum rate.
#[test]
fn p03_slow_bodies_are_ended() {
    let _watchdog = watchdog("slow bodies", BUDGET);
    let server = Server::start(&["--body-idle", "3s", "--total", "8s"]);
    attack(&server, &["-B", "-s", "8192"], "/echo");
}

/// P04: who takes nothing of the answer is ended, and nothing of what was meant for it stays in the kernel.
#[test]
fn p04_slow_readers_are_ended() {
    let _watchdog = watchdog("slow readers", BUDGET);
    let directory = Directory::new();
    directory.put("large", vec![b'x'; 16 << 20]);
    let stall = Duration::from_secs(3);
    let server = Server::start(&["--root", directory.text(), "--write-stall", "3s"]);
    let before = server.peak_memory();
    let Some(mut slow) = tool("slowhttptest") else { return };
    slow.args([
        "-X", "-c", "200", "-r", "200", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3",
    ]);
    slow.args(["-l", "30", "-p", "3", "-v", "1", "-u", &server.url("/large")]).stdout(Stdio::null());
    let mut running = slow.spawn().expect("it starts");
    let began = Instant::now();
    // It does not look whether its connections are there: the kernel is asked.
    let mut until = |holds: &dyn Fn(usize) -> bool| {
        while !holds(server.connections()) {
            assert!(
                running.try_wait().expect("a child of ours").is_none(),
                "it ended before: {began:?}"
            );
            assert!(server.is_prompt(), "somebody had to wait");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&|connections| connections >= 150);
    until(&|connections| connections == 0);
    let lasted = began.elapsed();
    eprintln!("slowhttptest -X: all of 200 connections ended within {lasted:?}");
    assert!(lasted >= stall, "early: {lasted:?}");
    kill_process(Pid::from_child(&running), Signal::TERM).expect("it runs");
    running.wait().expect("reaped");
    let grown = server.peak_memory() - before;
    assert!(grown < 128 * 1024, "{grown} KiB for 200 readers of 16 MiB");
}

/// Overlapping ranges by the hundred are all of the file, once.
#[test]
fn p08_many_ranges_are_no_work() {
    let _watchdog = watchdog("many ranges", BUDGET);
    let directory = Directory::new();
    directory.put("page", "x".repeat(4096));
    let server = Server::start(&["--root", directory.text(), "--keep-alive", "2s"]);
    attack(&server, &["-R", "-a", "5", "-b", "500", "-t", "HEAD"], "/page");
}
