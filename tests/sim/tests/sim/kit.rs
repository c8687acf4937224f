//! What the test kit itself promises: that peers do as they are told, that faults happen, and that a run that fails says so.

use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use punctual::net::{Connect, Kind, Phase, Resolver, TcpListener, TcpStream};
use punctual::test::{Faults, Script, Simulation};
use punctual::{sleep, spawn};

const PEER: &str = "10.0.0.7:4000";

fn peer() -> SocketAddr {
    PEER.parse().expect("an address")
}

fn failure(simulation: Simulation, body: impl AsyncFnOnce(punctual::test::Network)) -> String {
    let failed = catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run(body)));
    let panic = failed.expect_err("it fails");
    panic.downcast_ref::<String>().expect("text").clone()
}

#[test]
fn virtual_time_passes_only_when_everybody_sleeps() {
    let real = Instant::now();
    let report = Simulation::new(1).run(async |network| {
        let began = network.now();
        sleep(Duration::from_secs(86_400)).await;
        assert!(network.now() - began >= Duration::from_secs(86_400));
        let began = network.now();
        network.busy(Duration::from_millis(40));
        assert_eq!(network.now() - began, Duration::from_millis(40));
        // What came due meanwhile is late by as much, and says whose fault it was.
        let short = spawn(sleep(Duration::from_millis(1)));
        punctual::yield_now().await;
        network.busy(Duration::from_millis(30));
        short.await.expect("no panic");
    });
    assert!(report.simulated >= Duration::from_secs(86_400));
    assert!(report.metrics.late_firings >= 1, "{:?}", report.metrics.late_firings);
    assert!(real.elapsed() < Duration::from_secs(60), "nobody has waited a day");
}

#[test]
fn a_peer_that_stalls_trickles_or_resets_is_seen_as_such() {
    Simulation::new(2).run(async |network| {
        let trickles = Script::new().trickle(b"0123456789", 1, Duration::from_secs(1)).reset();
        network.listen(peer(), trickles);
        let stream = TcpStream::connect(PEER).await.expect("it listens");
        let began = network.now();
        let mut bytes = [0; 10];
        stream.read_exact(&mut bytes).await.expect("they come");
        assert_eq!(&bytes, b"0123456789");
        assert!(network.now() - began >= Duration::from_secs(9), "one a second");
        let error = stream.read(&mut bytes).await.expect_err("a reset");
        assert_eq!(error.kind(), Kind::Kernel(104), "ECONNRESET: {error}");
        drop(stream);

        network.listen(peer(), Script::new().read(3).stall());
        let stream = TcpStream::connect(PEER).await.expect("it listens");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("open");
        let error = stream.write_all(&vec![7; 1_000_000]).await.expect_err("the window fills");
        assert!(error.is_timeout());
        // A window of 64 KiB, and no more of it was read.
        assert!((65_536..=70_000).contains(&error.transferred()), "{}", error.transferred());
    });
}

#[test]
fn black_holes_refusals_and_routers() {
    Simulation::new(3).run(async |network| {
        let budget = Duration::from_secs(10);
        let dial = async || {
            let began = network.now();
            let error = Connect::to(PEER).timeout(budget).connect().await.expect_err("nobody there");
            assert_eq!(error.phase(), Phase::Connect);
            (error, network.now() - began)
        };
        let (error, took) = dial().await;
        assert_eq!(error.kind(), Kind::Kernel(111), "ECONNREFUSED: {error}");
        assert!(took < Duration::from_millis(5), "{took:?}");
        network.black_hole(peer());
        let (error, took) = dial().await;
        assert!(error.is_timeout());
        assert!(took >= budget);
        network.unreachable(peer());
        let (error, _) = dial().await;
        assert_eq!(error.kind(), Kind::Kernel(113), "EHOSTUNREACH: {error}");
        network.remove(peer());
        assert_eq!(dial().await.0.kind(), Kind::Kernel(111));
    });
}

#[test]
fn a_lost_syn_is_sent_again_after_a_second_and_the_late_answer_reaches_nobody() {
    Simulation::new(4).run(async |network| {
        network.listen(peer(), Script::new().echo());
        network.set_faults(Faults { lost: 1.0, ..Faults::NONE });
        let began = network.now();
        let connecting = spawn(TcpStream::connect(PEER));
        sleep(Duration::from_millis(500)).await;
        network.set_faults(Faults::NONE);
        let stream = connecting.await.expect("no panic").expect("the second SYN is answered");
        let took = network.now() - began;
        assert!((Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&took), "{took:?}");
        drop(stream);

        network.set_faults(Faults {
            latency: Duration::from_millis(50)..Duration::from_millis(60),
            ..Faults::NONE
        });
        let before = network.descriptors();
        let short = Duration::from_millis(70);
        let error =
            TcpStream::connect_timeout(PEER, short).await.expect_err("no round trip is so short");
        assert!(error.is_timeout());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(network.descriptors(), before);
    });
}

#[test]
fn r04_a_server_without_descriptors_pauses_and_serves_again() {
    let report = Simulation::new(5).run(async |network| {
        let listener = TcpListener::bind("10.0.1.1:80").expect("nobody else has it");
        network.connect(listener.local_addr().expect("bound"), Script::new().send("hello").stall());
        network.set_faults(Faults { descriptors: 1.0, ..Faults::NONE });
        let accepting = spawn(async move { (listener.accept().await, listener) });
        sleep(Duration::from_secs(2)).await;
        assert!(network.counts().descriptors < 20, "{}: it spins", network.counts().descriptors);
        network.set_faults(Faults::NONE);
        let (accepted, listener) = accepting.await.expect("no panic");
        let (stream, _) = accepted.expect("it is not deaf");
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.expect("they have come");
        assert_eq!(&bytes, b"hello");
        assert!(listener.exhaustions() > 1);
    });
    assert!(report.metrics.accept_backoffs > 1);
}

#[test]
fn names_are_resolved_by_the_server_that_the_test_has() {
    Simulation::new(6).run(async |network| {
        let (silent, answers) = ("10.0.0.53:53", "10.0.0.54:53");
        let (silent, answers) = (silent.parse().expect("one"), answers.parse().expect("one"));
        network.black_hole(silent);
        let delay = Duration::from_millis(30);
        network.name_server(answers, delay, [("peer.test", peer().ip())]);
        network.listen(peer(), Script::new().send("!").stall());
        let resolver = Resolver::builder().servers([silent, answers]).search([""; 0]).build();
        let began = network.now();
        let stream =
            Connect::to(("peer.test", 4000)).resolver(&resolver).connect().await.expect("it is known");
        assert_eq!(stream.peer_addr(), peer());
        assert!(network.now() - began >= delay);
        let error = Connect::to(("nobody.test", 4000)).resolver(&resolver).connect().await;
        assert_eq!(error.expect_err("nobody knows it").kind(), Kind::Dns);
    });
}

#[test]
fn every_fault_happens_and_changes_nothing_but_the_time() {
    let faults =
        Faults { lost: 0.0, resets: 0.0, descriptors: 0.0, aborted: 0.0, jumps: 0.01, ..Faults::ALL };
    let (mut sum, mut traces) = (punctual::test::Counts::default(), Vec::new());
    for seed in 0..60 {
        let report = Simulation::new(seed).faults(faults.clone()).run(async |network| {
            network.listen(peer(), Script::new().echo());
            let stream = TcpStream::connect(PEER).await.expect("it listens");
            let sent: Vec<u8> = (0..3_000_u32).map(|at| (at % 251) as u8).collect();
            let mut seen = vec![0; sent.len()];
            for part in 0..10 {
                let part = part * 300..(part + 1) * 300;
                stream.write_all(&sent[part.clone()]).await.expect("it takes them");
                stream.read_exact(&mut seen[part]).await.expect("it sends them back");
            }
            assert_eq!(sent, seen);
            drop(stream);
            // Whoever comes next has the same descriptor: there may be events of the one before.
            let again = TcpStream::connect(PEER).await.expect("it listens");
            sleep(Duration::from_millis(20)).await;
            drop(again);
        });
        let counts = report.counts;
        sum.interrupted += counts.interrupted;
        sum.would_block += counts.would_block;
        sum.short_reads += counts.short_reads;
        sum.short_writes += counts.short_writes;
        sum.spurious += counts.spurious;
        sum.stale += counts.stale;
        sum.late += counts.late;
        sum.jumps += counts.jumps;
        assert!(report.metrics.stale_events >= counts.stale);
        traces.push(report.trace);
    }
    let each = [sum.interrupted, sum.would_block, sum.short_reads, sum.short_writes];
    assert!(each.iter().all(|count| *count > 0), "{sum:?}");
    assert!([sum.spurious, sum.stale, sum.late, sum.jumps].iter().all(|count| *count > 0), "{sum:?}");
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 60, "each seed is a run of its own");
}

#[test]
fn a_run_that_fails_names_its_seed() {
    let why = failure(Simulation::new(77), async |_| panic!("the answer is {}", 41));
    assert_eq!(why, "simulation with seed 77: the answer is 41");
    // Nothing is under way, and nobody will wake it.
    let why = failure(Simulation::new(78), async |_| std::future::pending().await);
    assert!(why.starts_with("simulation with seed 78: the loop would sleep for ever"), "{why}");
    let why = failure(Simulation::new(79), async |_| {
        std::mem::forget(std::net::TcpListener::bind("10.0.1.1:80").expect("a listener"));
    });
    assert_eq!(why, "simulation with seed 79: 1 descriptors were left open");
    let why = failure(Simulation::new(80).calls_max(10_000), async |_| {
        loop {
            sleep(Duration::from_nanos(1)).await;
        }
    });
    assert!(why.starts_with("simulation with seed 80: it takes too many system calls"), "{why}");
    // And the thread is as before.
    Simulation::new(81).run(async |_| sleep(Duration::from_secs(1)).await);
}

#[test]
fn outside_of_a_simulation_everything_is_the_real_kernels() {
    let report = Simulation::new(8).run(async |_| {
        std::thread::spawn(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let address = listener.local_addr().expect("bound");
            let client = std::net::TcpStream::connect(address).expect("it listens");
            assert_eq!(client.peer_addr().expect("connected"), address);
            listener.accept().expect("one waits");
            Instant::now()
        })
        .join()
        .expect("no panic")
    });
    let real = Instant::now();
    assert!(real >= report.value, "the same clock");
    assert!(real - report.value < Duration::from_secs(60));
}
