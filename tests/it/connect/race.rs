//! Several addresses, on the real kernel; the table of the race is in `net/src/connect/race.rs`.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Connect, Error, HappyEyeballs, Kind, Phase, TcpListener, TcpOptions, TcpStream};
use punctual::{Instant, Runtime, scope, spawn, timeout, yield_now};

use super::{ECONNREFUSED, assert_no_syns_to, fails, syns_to};
use crate::support::net::*;
use crate::support::{ALARMS, MS, child, now_ns, watchdog};

const ESTABLISHED: u8 = 1;

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// Waits, without the loop, until `port` has `count` connections that stand, ours and the one that filled the queue.
fn wait_until_established(port: u16, count: usize) {
    let began = Instant::now();
    let ours = || {
        let sockets = kernel_sockets(port).into_iter();
        sockets.filter(|socket| socket.peer_port == port && socket.state == ESTABLISHED).count()
    };
    while ours() < count {
        assert!(began.elapsed() < PATIENCE / 4, "the SYN is not sent again");
        std::thread::sleep(5 * MS);
    }
}

#[test]
fn c15_he_loser_closed() {
    if !child::plays("descriptors") {
        let test = "connect::race::c15_he_loser_closed";
        return child::succeed(child::command(test, "descriptors"));
    }
    let _watchdog = watchdog("c15", PATIENCE / 10);
    for alarm in ALARMS {
        let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
        let holders = [deaf_listener(), deaf_listener()];
        let addresses: Vec<_> = holders.iter().map(|(_, address, _)| *address).collect();
        let before = descriptors();
        runtime.block_on(async {
            let rules = HappyEyeballs::default().delay(10 * MS);
            let racing = spawn(Connect::to(addresses.clone()).happy_eyeballs(rules).connect());
            while addresses.iter().any(|address| syns_to(address.port()).is_empty()) {
                assert!(!racing.is_finished(), "nobody answers yet");
                punctual::sleep(MS).await;
            }
            // Room for both; and the loop does not look before both stand.
            for (listener, address, _) in &holders {
                drop(listener.accept().expect("the one that filled the queue"));
                wait_until_established(address.port(), 1);
            }
            let winner = racing.await.expect("no panic").expect("both answer");
            let mut ended = 0;
            for (listener, _, _) in &holders {
                let (mut server, peer) = listener.accept().expect("both are seen by the server");
                if Ok(peer) == winner.local_addr().map_err(|_| ()) {
                    continue;
                }
                ended += 1;
                server.set_read_timeout(Some(PATIENCE)).expect("set");
                assert_eq!(server.read(&mut [0; 8]).expect("an end, not a reset"), 0, "and no byte");
            }
            assert_eq!(ended, 1, "one lost");
            assert_eq!(runtime.metrics().live_sources, 1, "the winner");
            assert_eq!(descriptors(), before + 1, "the winner's");
        });
        assert_baseline(&runtime);
        assert_eq!(descriptors(), before);
    }
}

#[test]
fn dropped_midway_closes_all() {
    on_alarms("drop all", async |runtime| {
        let holders = [deaf_listener(), deaf_listener(), deaf_listener()];
        let addresses: Vec<_> = holders.iter().map(|(_, address, _)| *address).collect();
        let rules = HappyEyeballs::default().delay(10 * MS);
        let racing = spawn(Connect::to(addresses.clone()).happy_eyeballs(rules).connect());
        while addresses.iter().any(|address| syns_to(address.port()).is_empty()) {
            punctual::sleep(MS).await;
        }
        assert_eq!(runtime.metrics().live_sources, 3, "none was given up for another");
        racing.abort();
        assert!(racing.await.is_err());
        addresses.iter().for_each(|address| assert_no_syns_to(address.port()));
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn a_scope_ends_all_and_its_deadline_is_named() {
    on_alarms("scope", async |runtime| {
        let holders = [deaf_listener(), deaf_listener()];
        let addresses: Vec<_> = holders.iter().map(|(_, address, _)| *address).collect();
        let rules = HappyEyeballs::default().delay(10 * MS);
        let connect = Connect::to(addresses.clone()).happy_eyeballs(rules).timeout(PATIENCE);
        let armed = now_ns();
        let mut told = None;
        // Its body ends in time to say how.
        let ended = scope("request", 80 * MS, async |_| told = connect.connect().await.err()).await;
        assert!(now_ns() - armed >= 80_000_000, "early: {ended:?}");
        let error = told.expect("nobody answers");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect), "{error}");
        assert_eq!(error.deadline().and_then(|info| info.name()), Some("request"), "{error}");
        addresses.iter().for_each(|address| assert_no_syns_to(address.port()));
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn all_silent_is_said_of_all() {
    on_alarms("all silent", async |_| {
        let holders = [deaf_listener(), deaf_listener()];
        let addresses: Vec<_> = holders.iter().map(|(_, address, _)| *address).collect();
        let rules = HappyEyeballs::default().delay(10 * MS);
        let connect = Connect::to(addresses.clone()).happy_eyeballs(rules).name("checkout");
        let error = fails(connect, 120 * MS).await;
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect));
        let peers: Vec<_> = error.sources().iter().filter_map(Error::peer).collect();
        assert_eq!(peers, addresses);
        assert!(error.sources().iter().all(Error::is_timeout));
        let text = error.to_string();
        assert!(
            text.contains("(deadline \"checkout\" set at ") && text.contains(", 2 of 2 addresses"),
            "{text}"
        );
        assert!(error.is_retry_safe());
    });
}

#[test]
fn a_refusal_starts_the_next_at_once() {
    on_alarms("expedited", async |_| {
        let (_held, refused) = closed_port();
        let (_listener, address) = listen();
        let rules = HappyEyeballs::default().delay(PATIENCE);
        let connect = Connect::to(vec![refused, address]).happy_eyeballs(rules).timeout(PATIENCE / 2);
        let connected = timeout(PATIENCE / 4, connect).await.expect("without the delay");
        assert_eq!(connected.expect("connected").peer_addr(), address);
    });
}

#[test]
fn c17_thousand_addresses() {
    on_alarms("c17", async |runtime| {
        let (listener, good) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let (_held, refused) = closed_port();
        let mut addresses = vec![refused; 1_000];
        addresses.push(good);
        let stream = Connect::to(addresses).timeout(PATIENCE).connect().await.expect("the last one");
        assert_eq!(stream.peer_addr(), good);
        let (server, _) = accepting.await.expect("no panic").expect("accepted");
        drop(server);
        assert_eq!(runtime.metrics().live_sources, 1, "the thousand are closed");
    });
}

#[test]
fn c19_all_fail() {
    on_alarms("c19", async |_| {
        let (_held, refused) = closed_port();
        let (_listener, deaf, _filler) = deaf_listener();
        let kinds = |error: &Error| error.sources().iter().map(Error::kind).collect::<Vec<_>>();
        let peers = |error: &Error| error.sources().iter().map(Error::peer).collect::<Vec<_>>();

        // The deadline ends it.
        let error = fails(Connect::to(vec![refused, deaf]), 200 * MS).await;
        assert_eq!((error.kind(), kinds(&error)), (Kind::Timeout, vec![ECONNREFUSED, Kind::Timeout]));
        assert_eq!(peers(&error), [Some(refused), Some(deaf)]);

        // One address uses up its share, but not the deadline of the whole.
        let armed = now_ns();
        let by_turns = Connect::to(vec![refused, deaf, refused]).happy_eyeballs(None);
        let error = fails(by_turns, 2_200 * MS).await;
        assert!(now_ns() - armed >= 2_000_000_000, "the share of the deaf one");
        assert_eq!(error.kind(), ECONNREFUSED, "{error}");
        assert_eq!(kinds(&error), [ECONNREFUSED, Kind::Timeout, ECONNREFUSED]);
        let share = error.sources()[1].deadline().and_then(|info| info.budget()).expect("a share");
        assert!(share <= 2_000 * MS && share > 1_500 * MS, "that of the whole was 2.2 s: {share:?}");
        let text = error.to_string();
        assert!(text.contains("tried 3 addresses") && text.contains(&deaf.to_string()), "{text}");
    });
}

#[test]
fn an_error_of_several_addresses_keeps_its_io_kind() {
    on_alarms("kinds", async |_| {
        let (_held, refused) = closed_port();
        let error = TcpStream::connect(vec![refused; 2]).await.expect_err("nobody listens");
        assert!(error.is_retry_safe());
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect(Vec::new()).await.expect_err("nothing to connect to");
        assert_eq!(error.to_string(), "connect failed: no address was given");
        let error = TcpListener::bind(Vec::new()).expect_err("nothing to listen on");
        assert_eq!(error.to_string(), "listen failed: no address was given");
    });
}

/// Addresses that fail at once are as many as a name server likes: they do not keep others waiting.
#[test]
fn b02_a_thousand_addresses_of_no_use_leave_the_others_their_turns() {
    on_alarms("turns", async |_| {
        let (_held, refused) = closed_port();
        let turns = Rc::new(Cell::new(0_u32));
        let count = turns.clone();
        let others = spawn(async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        // At once, as one is that no route leads to.
        let unreachable = |_: socket2::SockRef<'_>, _| Err(ErrorKind::NetworkUnreachable.into());
        let connect = Connect::to(vec![refused; 1_000]).before_connect(unreachable);
        let error = fails(connect, PATIENCE).await;
        assert_eq!(error.sources().len(), 1_000);
        assert!(turns.get() >= 100, "{} turns while a thousand failed", turns.get());
        others.abort();
    });
}

/// What a hook does to the runtime it is called in is its own affair.
#[test]
fn a_hook_may_call_back_into_the_runtime() {
    on_alarms("hooks that call back", async |_| {
        let (_listener, address) = listen();
        let kept = Rc::new(Cell::new(Some(tcp_pair().await)));
        let error = scope("hooked", PATIENCE, async |scope| {
            let (canceller, kept) = (scope.canceller(), kept.clone());
            let connect = Connect::to(vec![address; 3]).before_connect(move |_, _| {
                drop(punctual::waits());
                drop(kept.take());
                drop(spawn(async { yield_now().await }));
                canceller.cancel("by the hook").expect("room");
                Ok(())
            });
            connect.await.expect_err("its scope was cancelled")
        });
        let error = error.await.expect("a connect may fail");
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
        assert!(error.to_string().contains("by the hook"), "{error}");
    });
}

/// No length of time is too long, or too short, to be reckoned with.
#[test]
fn d24_times_without_end_and_of_nothing() {
    on_alarms("extremes", async |_| {
        let (_listener, address) = listen();
        let (_held, refused) = closed_port();
        for rules in [None, Some(HappyEyeballs::default().delay(Duration::MAX).first_family(usize::MAX))]
        {
            let options = TcpOptions::new().user_timeout_from_deadline();
            let endless = Connect::to(vec![refused, address]).happy_eyeballs(rules).options(options);
            let endless = endless.timeout(Duration::MAX).connect_timeout(Duration::MAX);
            let stream = endless.resolve_timeout(Duration::MAX).await.expect("connected");
            assert_eq!(stream.peer_addr(), address);
            let later = Connect::to(address).deadline(Instant::FAR_FUTURE).await.expect("connected");
            drop(later.close_in_order(Duration::MAX));
            let options = TcpOptions::new().user_timeout(Duration::MAX);
            Connect::to(address).options(options).await.expect("connected");
            let past = Connect::to(address).deadline(Instant::from_nanos(0)).await.expect_err("past");
            assert!(past.deadline().is_some_and(|info| info.lateness().is_zero()), "{past}");
        }
    });
}
