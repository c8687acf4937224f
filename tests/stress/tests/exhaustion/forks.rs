//! S06: a process that forks. The child has all descriptors of the loop, its epoll too, until it ends.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Kind, TcpStream, UnixStream};
use punctual::process::Command;
use punctual::{Runtime, SendError, sleep, spawn};
use punctual_reactor::rig::fork;
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, now_ns, since, watchdog};

async fn echo(stream: TcpStream) {
    let mut buffer = [0; 16];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn round_trip(stream: &TcpStream, word: u64) {
    stream.set_timeout(Some(Duration::from_secs(20))).expect("open");
    stream.write_all(&word.to_le_bytes()).await.expect("sent");
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.expect("answered");
    assert_eq!(u64::from_le_bytes(answer), word, "another's answer");
}

/// Connections that were open at the fork are closed while the child has them still, and their numbers are others'.
#[test]
fn s06_a_forked_child_that_lingers_steals_nothing_and_nothing_is_misdelivered() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("s06", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    let before = rig::descriptors();
    runtime.block_on(async {
        let (listener, address) = rig::listen();
        let listener = Rc::new(listener);
        let accepts = listener.clone();
        let accepting = spawn(async move {
            while let Ok((stream, _)) = accepts.accept().await {
                drop(spawn(echo(stream)));
            }
        });
        for round in 0..10_u64 {
            let mut old = Vec::new();
            for number in 0..20 {
                let stream = TcpStream::connect(address).await.expect("connected");
                round_trip(&stream, number).await;
                old.push(stream);
            }
            let lingers = 60 * MS;
            let forked_ns = now_ns();
            let child = fork(|| {
                std::thread::sleep(lingers);
                0
            });
            let child = child.expect("forked");
            // While the child lives: what was open goes on, and deadlines are kept.
            for (number, stream) in old.iter().enumerate() {
                round_trip(stream, round << 32 | number as u64).await;
            }
            old[0].set_read_timeout(Some(5 * MS)).expect("open");
            let armed_ns = now_ns();
            let error = old[0].read(&mut [0]).await.expect_err("nothing comes");
            assert!(error.is_timeout() && since(armed_ns) >= 5 * MS, "{error}");
            // Data that comes for what was closed here, and is open there, is nobody's.
            for stream in &old {
                stream.write_all(b"for nobody").await.expect("sent");
            }
            drop(old);
            for number in 0..20 {
                let stream = TcpStream::connect(address).await.expect("connected");
                round_trip(&stream, round << 48 | number).await;
                stream.set_read_timeout(Some(MS)).expect("open");
                let error = stream.read(&mut [0]).await.expect_err("nothing comes");
                assert_eq!(error.kind(), Kind::Timeout, "{error}");
            }
            assert_eq!(child.wait().expect("its end"), Some(0));
            assert!(since(forked_ns) >= lingers, "the child has lingered");
        }
        listener.close();
        accepting.await.expect("no panic");
        while punctual::metrics().live_tasks > 0 {
            sleep(MS).await;
        }
        let metrics = punctual::metrics();
        assert!(metrics.turns < 20 * (metrics.events + metrics.fired), "it spins: {metrics:?}");
    });
    assert_baseline(&runtime);
    drop(runtime);
    assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new());
}

/// What a child may not do with what it has of its parent's, each with the number that it ends with if it can.
fn misuse(runtime: Runtime) -> u8 {
    std::panic::set_hook(Box::new(|_| {}));
    let told = |error: std::io::Error| error.to_string().contains("forked off");
    if !runtime.turn(Some(Duration::ZERO)).is_err_and(told) || !runtime.prepare().is_err_and(told) {
        return 1;
    }
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {})));
    let words = panic.err().and_then(|panic| panic.downcast::<String>().ok()).unwrap_or_default();
    if !words.contains("forked off") {
        return 2;
    }
    if runtime.handle().call(|| ()) != Err(SendError::Closed(())) {
        return 3;
    }
    // With its tasks, their connections, their children.
    drop(runtime);
    // One of its own does what any does.
    let own = Runtime::new().expect("descriptors are left");
    let answered = own.block_on(async {
        let (near, far) = UnixStream::pair().expect("a pair");
        let echoing = spawn(async move {
            let mut byte = [0];
            far.read_exact(&mut byte).await.expect("it comes");
            far.write_all(&byte).await.expect("room");
        });
        sleep(MS).await;
        near.write_all(b"x").await.expect("room");
        near.read_exact(&mut [0]).await.expect("an answer");
        echoing.await.is_ok()
    });
    if answered { 0 } else { 4 }
}

#[test]
fn s06_a_forked_child_is_told_that_the_loop_is_its_parents_and_takes_nothing_of_it() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("s06 misuse", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    let (streams, program) = runtime.block_on(async {
        let (listener, address) = rig::listen();
        let mut streams = Vec::new();
        for number in 0..20 {
            let stream = TcpStream::connect(address).await.expect("connected");
            drop(spawn(echo(listener.accept().await.expect("accepted").0)));
            round_trip(&stream, number).await;
            streams.push(stream);
        }
        let program = Command::new("sleep").arg("600").kill_on_drop(true).spawn().expect("started");
        (streams, program)
    });
    // Both processes have it; the child takes it out of its copy.
    let shared = Cell::new(Some((runtime, streams, program)));
    let forked = fork(|| {
        let (runtime, streams, program) = shared.take().expect("it is there");
        drop((streams, program));
        misuse(runtime)
    });
    let forked = forked.expect("forked");
    let status = forked.wait().expect("its end");
    let (runtime, streams, mut program) = shared.take().expect("the parent's is its own");
    assert_eq!(status, Some(0), "what the child could do");
    runtime.block_on(async {
        for (number, stream) in streams.iter().enumerate() {
            round_trip(stream, 1 << 32 | number as u64).await;
        }
        // Nothing is registered in a child, nor taken out.
        let status = fork(|| {
            let refused = UnixStream::pair().err().map(|error| error.to_string());
            streams[0].close();
            if refused.is_some_and(|words| words.contains("forked off")) { 0 } else { 5 }
        });
        assert_eq!(status.expect("forked").wait().expect("its end"), Some(0), "what the child could do");
        for (number, stream) in streams.iter().enumerate() {
            round_trip(stream, 2 << 32 | number as u64).await;
        }
        let armed_ns = now_ns();
        sleep(5 * MS).await;
        assert!(since(armed_ns) >= 5 * MS, "early");
        program.set_exit_timeout(Some(10 * MS));
        assert!(program.wait().await.is_err(), "the program that the parent has started runs on");
        program.kill().expect("it is there");
        program.set_exit_timeout(Some(Duration::from_secs(20)));
        assert!(program.wait().await.is_ok());
        drop((streams, program));
    });
    assert_baseline(&runtime);
}
