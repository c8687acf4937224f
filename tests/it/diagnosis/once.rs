//! What it costs: one look at the socket for each timeout, and none for anything else.

use std::process::Command;

use punctual::Runtime;

use crate::support::net::*;
use crate::support::{MS, child, skip, temporary};

const TEST: &str = "diagnosis::once::the_kernel_is_asked_once_a_timeout_and_never_else";
const TIMEOUTS: usize = 7;

#[test]
fn the_kernel_is_asked_once_a_timeout_and_never_else() {
    if child::plays("asked") {
        return ask();
    }
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skip("system calls are counted with strace: install it, and allow ptrace");
    }
    let log = temporary("asked");
    let path = log.to_str().expect("a path in UTF-8");
    let wrapper = ["strace", "-f", "-o", path, "-e", "trace=getsockopt,ioctl"];
    child::succeed(child::wrapped(&wrapper, TEST, "asked"));
    let calls = std::fs::read_to_string(&log).expect("what strace saw");
    std::fs::remove_file(&log).expect("it is there");
    let asked = |what: &str| calls.lines().filter(|line| line.contains(what)).count();
    assert_eq!(asked("TCP_INFO"), TIMEOUTS, "{calls}");
    assert_eq!((asked("FIONREAD"), asked("TIOCOUTQ")), (TIMEOUTS, TIMEOUTS), "{calls}");
}

/// As many timeouts as are counted, and much else.
fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (stream, peer) = tcp_pair().await;
        for _ in 0..100 {
            stream.write_all(b"ping").await.expect("sent");
            peer.recv_exactly(4).await;
        }
        stream.set_read_timeout(Some(MS)).expect("open");
        for _ in 0..TIMEOUTS {
            assert!(stream.read(&mut [0; 8]).await.expect_err("silent").is_timeout());
        }
        // Nothing is late that did not begin, and nobody asks about a cancel or a close.
        stream.set_read_deadline(Some(punctual::Instant::now() - MS)).expect("open");
        for _ in 0..3 {
            assert!(stream.read(&mut [0; 8]).await.expect_err("too late").is_timeout());
        }
        stream.cancel("enough");
        stream.read(&mut [0; 8]).await.expect_err("cancelled");
        stream.close();
        stream.read(&mut [0; 8]).await.expect_err("closed");
    });
}
