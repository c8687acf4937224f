//! S06: a process that forks. The child has all descriptors of the loop, its epoll too, until it ends.

use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Kind, TcpListener, TcpStream};
use punctual::{Runtime, sleep, spawn};
use punctual_reactor::rig::fork_and_linger;
use punctual_tests_stress::child;
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
    if !child::alone("forks::s06_a_forked_child_that_lingers_steals_nothing_and_nothing_is_misdelivered")
    {
        return;
    }
    let _watchdog = watchdog("s06", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    let before = rig::descriptors();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
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
            let child = fork_and_linger(lingers).expect("forked");
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
            child.wait().expect("its end");
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
