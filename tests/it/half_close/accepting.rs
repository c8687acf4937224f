//! X12, Pol-11: accepting when things go wrong.

use super::*;

#[test]
fn x12_accept_aborted() {
    on_alarms("x12", async |_| {
        let (listener, address) = listen();
        let gone = std::net::TcpStream::connect(address).expect("queued");
        SockRef::from(&gone).set_linger(Some(Duration::ZERO)).expect("set");
        drop(gone);
        let mut good = std::net::TcpStream::connect(address).expect("queued");
        good.write_all(b"here").expect("sent");
        listener.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        loop {
            // Some kernels hand out the dead connection, others do not.
            let (server, peer) = listener.accept().await.expect("the listener is well");
            if peer == good.local_addr().expect("its address") {
                assert_eq!(server.recv_exactly(4).await, b"here");
                break;
            }
            assert_eq!(server.read(&mut [0; 1]).await.expect_err("reset").kind(), ECONNRESET);
        }
    });
}

/// Runs the test with this path again, once for each error that the first three accepts are made to fail
/// with; `false` in the parent.
fn under_strace(test: &str, errors: &[&str]) -> bool {
    if errors.iter().any(|error| child::plays(error)) {
        return true;
    }
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip("system calls are made to fail with strace: install it, and allow ptrace");
        return false;
    }
    for error in errors {
        let inject = format!("inject=accept4:error={error}:when=1..3");
        let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject];
        child::succeed(child::wrapped(&wrapper, test, error));
    }
    false
}

/// Three accepts fail, the fourth succeeds; returns how often the listener had to pause.
async fn accept_after_faults() -> (u64, Duration) {
    let (listener, address) = listen();
    let _client = std::net::TcpStream::connect(address).expect("queued");
    listener.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
    let start = Instant::now();
    listener.accept().await.expect("the connection is still there");
    (listener.exhaustions(), start.elapsed())
}

#[test]
fn x12_accept_aborted_by_fault() {
    let test = "half_close::accepting::x12_accept_aborted_by_fault";
    if under_strace(test, &["ECONNABORTED", "EPROTO"]) {
        // Faults are counted for each thread apart: one alarm, one thread.
        let runtime = punctual::Runtime::new().expect("a runtime");
        let (pauses, _) = runtime.block_on(accept_after_faults());
        assert_eq!(pauses, 0, "the next connection is taken at once");
        assert_baseline(&runtime);
    }
}

#[test]
fn pol11_accept_backs_off_and_is_not_deaf() {
    let test = "half_close::accepting::pol11_accept_backs_off_and_is_not_deaf";
    if under_strace(test, &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
        let runtime = punctual::Runtime::new().expect("a runtime");
        let (pauses, passed) = runtime.block_on(accept_after_faults());
        assert_eq!(pauses, 3);
        assert!(passed >= 35 * MS, "5, 10 and 20 ms: {passed:?}");
        assert!(runtime.metrics().turns < 40, "no spinning: {:?}", runtime.metrics());
        assert_baseline(&runtime);
    }
}

#[test]
fn pol11_out_of_descriptors_for_real() {
    if !child::plays("out of descriptors") {
        let test = "half_close::accepting::pol11_out_of_descriptors_for_real";
        return child::succeed(child::command(test, "out of descriptors"));
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen();
        let listener = Rc::new(listener);
        let mut client = std::net::TcpStream::connect(address).expect("queued");
        client.write_all(b"patience").expect("sent");
        let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, limit).expect("lowered");
        let mut hoard = Vec::new();
        let full = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => hoard.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::EMFILE));

        // Its deadline bounds the pauses, and an accept that was given up leaves the listener able to hear.
        listener.set_deadline(Some(Instant::now() + 100 * MS)).expect("open");
        let armed = now_ns();
        let error = listener.accept().await.map(drop).expect_err("there is no descriptor");
        assert!(error.is_timeout() && now_ns() - armed >= 100_000_000, "{error}");
        let pauses = listener.exhaustions();
        assert!((2..=6).contains(&pauses), "{pauses} pauses of 5 ms and more in 100 ms");

        // Several wait; one of them is dropped in the midst of its pause.
        listener.set_deadline(None).expect("open");
        let accepts: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await })
            })
            .collect();
        let (before, cpu_before) = (runtime_turns(&runtime), cpu_time());
        sleep(300 * MS).await;
        let (turns, cpu) = (runtime_turns(&runtime) - before, cpu_time() - cpu_before);
        assert!(turns < 100 && cpu < 60 * MS, "spinning: {turns} turns, {cpu:?} of CPU");
        let mut accepts = accepts.into_iter();
        let first = accepts.next().expect("one of three");
        first.abort();
        let _ = first.await;
        hoard.clear();
        let mut waiting: Vec<_> = accepts.collect();
        while !waiting.iter().any(|accept| accept.is_finished()) {
            sleep(MS).await;
        }
        let index = waiting.iter().position(|accept| accept.is_finished()).expect("one of two");
        let accepted = waiting.swap_remove(index).await.expect("no panic");
        let (server, peer) = accepted.expect("accepted once there are descriptors again");
        assert_eq!(peer, client.local_addr().expect("its address"));
        assert_eq!(server.recv_exactly(8).await, b"patience");
        listener.close();
        let last = waiting.pop().expect("the other").await.expect("no panic");
        assert_eq!(last.map(drop).expect_err("closed").kind(), Kind::Closed);
    });
    assert_baseline(&runtime);
}

/// Two wait when the descriptors run out; the one that began the pause is dropped in the midst of it.
#[test]
fn pol11_who_waits_behind_a_dropped_accept_is_not_deaf() {
    if !child::plays("dropped in a pause") {
        let test = "half_close::accepting::pol11_who_waits_behind_a_dropped_accept_is_not_deaf";
        return child::succeed(child::command(test, "dropped in a pause"));
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen();
        let listener = Rc::new(listener);
        let accept = || {
            let listener = listener.clone();
            spawn(async move { listener.accept().await.map(|(_, peer)| peer) })
        };
        let (first, second) = (accept(), accept());
        yield_now().await;
        // Its descriptor is had beforehand; the one of the server is not.
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let client = client.expect("a socket");
        let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, limit).expect("lowered");
        let hoard: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        client.connect(&address.into()).expect("queued");
        while listener.exhaustions() == 0 {
            yield_now().await;
        }
        first.abort();
        let _ = first.await;
        drop(hoard);
        let peer = timeout(PATIENCE / 2, second).await.expect("not deaf").expect("no panic");
        assert_eq!(
            peer.expect("accepted"),
            client.local_addr().expect("bound").as_socket().expect("an address")
        );
    });
    drop(runtime);
}

fn runtime_turns(runtime: &punctual::Runtime) -> u64 {
    runtime.metrics().turns
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn accepting_is_fair_to_the_rest_of_the_loop() {
    on_alarms("accept budget", async |runtime| {
        let (listener, address) = listen();
        let clients: Vec<_> =
            (0..100).map(|_| std::net::TcpStream::connect(address).expect("queued")).collect();
        let before = runtime.metrics().turns;
        let mut served: Vec<(TcpStream, _)> = Vec::new();
        for _ in &clients {
            served.push(listener.accept().await.expect("accepted"));
        }
        let turns = runtime.metrics().turns - before;
        assert!(turns >= 100 / 32, "at most 32 in a turn: {turns} turns for 100");
    });
}

#[test]
fn a_listener_is_refused_what_it_cannot_have() {
    on_alarms("bind", async |_| {
        let (_taken, address) = listen();
        let error = TcpListener::bind(address).expect_err("it is taken");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRINUSE), Phase::Bind));
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::AddrInUse);
        let error = TcpListener::bind("localhost:0").expect_err("a name");
        assert_eq!(error.kind(), Kind::InvalidInput);
    });
}
