//! System calls, against strace.

use std::process::Output;
use std::time::Duration;

use punctual::net::TcpListener;
use punctual::{Precise, Runtime, sleep, spawn};

use crate::support::{MS, US, child, temporary, watchdog};

const TRACE: &str = "trace=epoll_wait,epoll_pwait,timerfd_settime,write,accept4";
const ACCEPTS_FAIL: &str = "inject=accept4:error=EMFILE:when=1..3";

/// How many lines of the log begin this call.
fn calls(log: &str, call: &str, holds: &str) -> u64 {
    let begins = |line: &&str| {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        line.starts_with(call) && line.contains(holds)
    };
    log.lines().filter(begins).count() as u64
}

/// The number that the child says under `name`.
fn figure(output: &Output, name: &str) -> u64 {
    let out = String::from_utf8_lossy(&output.stdout);
    let wanted = format!("@@{name}=");
    let mut found = out.lines().filter_map(|line| line.split_once(&wanted));
    let (_, number) = found.next().unwrap_or_else(|| panic!("no {name} in\n{out}"));
    number.trim().parse().expect("a number")
}

#[test]
fn m16_polls_alarms_signals_and_back_offs_are_the_system_calls_that_strace_sees() {
    if child::plays("metered") {
        metered();
        return;
    }
    if !child::strace_works() {
        return;
    }
    let _watchdog = watchdog("a loop under strace", Duration::from_secs(6));
    let log = temporary("metered");
    let path = log.to_str().expect("a path");
    let strace = ["strace", "-f", "-y", "-o", path, "-e", TRACE, "-e", ACCEPTS_FAIL];
    let test =
        "metrics::kernel::m16_polls_alarms_signals_and_back_offs_are_the_system_calls_that_strace_sees";
    let output = child::wrapped(&strace, test, "metered").output().expect("the child starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    let log_text = std::fs::read_to_string(&log).expect("the log");
    std::fs::remove_file(&log).expect("it was read");

    let polls = calls(&log_text, "epoll_wait(", "") + calls(&log_text, "epoll_pwait(", "");
    let of = |name| figure(&output, name);
    assert_eq!(of("polls") + of("spin_polls"), polls, "polls");
    // How many there are of each, and whether any at all of some, depends on how busy the machine is.
    assert!(of("polls") > of("zero_polls"), "it slept at least once");
    let settimes = calls(&log_text, "timerfd_settime(", "");
    assert_eq!(of("settimes"), settimes, "alarms");
    assert!(settimes > 0);
    let signals = calls(&log_text, "write(", "[eventfd]");
    assert_eq!(of("remote_signals"), signals, "signals");
    let failed = log_text.lines().filter(|line| line.contains("EMFILE")).count() as u64;
    assert_eq!((of("accept_backoffs"), failed), (3, 3), "back-offs");
}

/// In the child: two loops that do some of everything, and say what they have counted.
fn metered() {
    let plain = Runtime::new().expect("a runtime");
    let handle = plain.handle();
    let waking = std::thread::spawn(move || {
        for _ in 0..20 {
            std::thread::sleep(MS);
            handle.call(|| {}).expect("room");
        }
    });
    plain.block_on(async {
        let tasks: Vec<_> = (0..40).map(|n| spawn(sleep(n * 700 * US))).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let accepting = spawn(async move { listener.accept().await.map(drop) });
        let connecting = punctual::net::TcpStream::connect(address).await.expect("connected");
        accepting.await.expect("no panic").expect("accepted at last");
        drop(connecting);
        for task in tasks {
            task.await.expect("no panic");
        }
        sleep(5 * MS).await;
    });
    waking.join().expect("no panic");
    let precise = Runtime::builder().precise(Precise::DEFAULT).build().expect("a runtime");
    precise.block_on(async {
        for _ in 0..10 {
            sleep(2 * MS).await;
        }
    });
    let (plain, precise) = (plain.metrics(), precise.metrics());
    for (name, count) in [
        ("polls", plain.polls + precise.polls),
        ("zero_polls", plain.zero_polls + precise.zero_polls),
        ("spin_polls", plain.spin_polls + precise.spin_polls),
        ("settimes", plain.settimes + precise.settimes),
        ("remote_signals", plain.remote_signals + precise.remote_signals),
        ("accept_backoffs", plain.accept_backoffs + precise.accept_backoffs),
    ] {
        child::say(&format!("{name}={count}"));
    }
}
