//! S04: every system call of an operation is interrupted again and again, and nobody notices. The faults are strace's: the call
//! is not made and fails with EINTR.

use std::io::Read;
use std::time::Duration;

use punctual::net::{TcpListener, TcpStream};
use punctual::reactor::pipe;
use punctual::{Runtime, spawn};

use crate::support::child;
use crate::support::net::assert_baseline;
use crate::support::{self, MS, never_early_sleep};

const ROUNDS: usize = 40;

/// Accepts, sends, receives, writes and reads, and waits in between.
fn through_interruptions() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let serving = spawn(async move {
            for _ in 0..ROUNDS {
                let (stream, _) = listener.accept().await.expect("no EINTR leaks out");
                let mut heard = [0; 5];
                stream.read_exact(&mut heard).await.expect("no EINTR leaks out");
                stream.write_all(&heard).await.expect("no EINTR leaks out");
            }
        });
        let (reader, writer) = pipe().expect("a pipe");
        for round in 0..ROUNDS {
            let stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(b"hello").await.expect("no EINTR leaks out");
            let mut back = [0; 5];
            stream.read_exact(&mut back).await.expect("no EINTR leaks out");
            assert_eq!(&back, b"hello");
            writer.write_all(&[round as u8; 10]).await.expect("no EINTR leaks out");
            let mut bytes = Vec::new();
            assert_eq!(reader.read_to_end(&mut bytes, 10).await.expect("no EINTR leaks out"), 10);
            assert_eq!(bytes, [round as u8; 10]);
            never_early_sleep(MS / 4).await;
        }
        serving.await.expect("no panic");
    });
    assert_baseline(&runtime);
}

#[test]
fn s04_eintr_everywhere() {
    if child::plays("interrupted") {
        return through_interruptions();
    }
    if !child::strace_works() {
        return;
    }
    let _watchdog = support::watchdog("s04", Duration::from_secs(6));
    let log = support::temporary("s04");
    let log = log.to_str().expect("text");
    let calls = "accept4,recvfrom,sendto,sendmsg,epoll_wait,epoll_pwait";
    // What the loader and the harness read and write at first is theirs.
    let (inject, late) =
        (format!("inject={calls}:error=EINTR:when=1+2"), "inject=read,write:error=EINTR:when=12+2");
    let trace = format!("trace={calls},read,write");
    let wrapper = ["strace", "-f", "-o", log, "-e", &trace, "-e", &inject, "-e", late];
    child::succeed(child::wrapped(&wrapper, "interrupted::s04_eintr_everywhere", "interrupted"));
    let mut text = String::new();
    std::fs::File::open(log).and_then(|mut file| file.read_to_string(&mut text)).expect("strace's log");
    for call in ["accept4", "recvfrom", "sendto", "epoll_wait", "read", "write"] {
        let hit = format!("{call}(");
        let hits = text.lines().filter(|line| line.contains(&hit) && line.contains("EINTR")).count();
        assert!(hits >= 10, "{call} was interrupted {hits} times");
    }
    drop(std::fs::remove_file(log));
}

#[test]
fn s04_a_close_that_is_interrupted_is_not_made_again() {
    if child::plays("closing") {
        return through_interruptions();
    }
    if !child::strace_works() {
        return;
    }
    let _watchdog = support::watchdog("s04 close", Duration::from_secs(6));
    let log = support::temporary("s04-close");
    let log = log.to_str().expect("text");
    // Linux has closed it whatever it says: made again, it would close somebody else's.
    let wrapper =
        ["strace", "-f", "-o", log, "-e", "trace=close", "-e", "inject=close:error=EINTR:when=20+3"];
    let test = "interrupted::s04_a_close_that_is_interrupted_is_not_made_again";
    child::succeed(child::wrapped(&wrapper, test, "closing"));
    let mut text = String::new();
    std::fs::File::open(log).and_then(|mut file| file.read_to_string(&mut text)).expect("strace's log");
    let closes: Vec<(&str, bool)> = text
        .lines()
        .filter_map(|line| {
            let call = &line[line.find("close(")?..];
            Some((&call[..call.find(')')?], call.contains("EINTR")))
        })
        .collect();
    let interrupted = closes.iter().filter(|(_, interrupted)| *interrupted).count();
    assert!(interrupted >= 10, "{interrupted} closes were interrupted");
    let again = closes.windows(2).find(|two| two[0].1 && two[0].0 == two[1].0);
    assert_eq!(again, None, "the number may be somebody else's by then");
    drop(std::fs::remove_file(log));
}
