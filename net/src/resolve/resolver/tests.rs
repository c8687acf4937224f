//! What a resolver does while the world around it changes.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

use punctual_reactor::{Runtime, VirtualClock};

use super::*;
use crate::error::Kind;

/// A lookup that has begun; dropping it ends it.
struct Begun {
    _lookup: Pin<Box<dyn Future<Output = Result<Addresses, Error>>>>,
}

/// Begins a lookup, whose questions are sent at its first poll.
fn begin(resolver: &Resolver) -> Begun {
    let mut lookup = Box::pin(resolver.lookup("a.example"));
    let poll = lookup.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
    assert!(poll.is_pending(), "nobody answers");
    Begun { _lookup: lookup }
}

/// How many questions have come.
fn questions(server: &UdpSocket) -> usize {
    server.set_nonblocking(true).expect("set");
    std::iter::from_fn(|| server.recv(&mut [0; 512]).ok()).count()
}

fn asking(servers: &[&UdpSocket]) -> ResolverBuilder {
    let none = "/nonexistent/punctual";
    let servers = servers.iter().map(|server| server.local_addr().expect("its address"));
    let files = Resolver::builder().hosts_file(none).resolv_conf(none).nsswitch_conf(none);
    files.servers(servers.collect::<Vec<_>>()).search::<String>([])
}

#[test]
fn n08_a_lookup_after_a_change_does_not_wait_for_servers_of_before() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let path = std::env::temp_dir().join(format!("punctual-n08-in-flight-{}", std::process::id()));
    let before = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = before.local_addr().expect("its address").port();
    let after = UdpSocket::bind(("127.0.0.2", port)).expect("the same port of another address");
    runtime.block_on(async {
        std::fs::write(&path, "nameserver 127.0.0.1\n").expect("written");
        let none = "/nonexistent/punctual";
        let resolver = Resolver::builder().resolv_conf(&path).server_port(port).search::<String>([]);
        let resolver = resolver.hosts_file(none).nsswitch_conf(none).build();
        let _first = begin(&resolver);
        assert_eq!((questions(&before), questions(&after)), (2, 0));
        std::fs::write(&path, "nameserver 127.0.0.2\n").expect("written");
        clock.advance(Duration::from_secs(5));
        let _second = begin(&resolver);
        assert_eq!((questions(&before), questions(&after)), (0, 2));
    });
    std::fs::remove_file(&path).expect("removed");
}

/// What waits in one runtime is polled by nobody while another runs.
#[test]
fn n09_runtimes_share_no_queries() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let resolver = asking(&[&server]).build();
    let [one, two] = [(); 2].map(|()| Runtime::new().expect("a runtime"));
    let first = one.block_on(async { begin(&resolver) });
    assert_eq!(questions(&server), 2);
    let second = two.block_on(async { begin(&resolver) });
    assert_eq!(questions(&server), 2, "asked anew");
    let third = two.block_on(async { begin(&resolver) });
    assert_eq!(questions(&server), 0, "shared within a runtime");
    drop((first, second, third));
    assert_eq!(resolver.metrics().in_flight, 0);
}

/// A server that cannot be asked says so at once, again and again.
#[test]
fn n10_tries_that_fail_at_once_hold_up_no_deadline() {
    Runtime::new().expect("a runtime").block_on(async {
        let none = "/nonexistent/punctual";
        // The kernel refuses to connect to it.
        let broadcast: SocketAddr = ([255; 4], 53).into();
        let resolver = Resolver::builder().hosts_file(none).resolv_conf(none).nsswitch_conf(none);
        let resolver = resolver.servers([broadcast]).search::<String>([]);
        let resolver = resolver.attempts(u32::MAX).timeout(Duration::from_millis(50)).build();
        let error = resolver.lookup("a.example").await.expect_err("nobody to ask");
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    });
}

#[test]
fn a_thread_that_ends_may_look_names_up() {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let runtime = Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let found = Resolver::of_this_runtime().find("localhost", &Progress::default()).await;
                assert!(found.is_ok());
            });
        }
    }
    thread_local! {
        static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    let thread = std::thread::spawn(|| {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {});
        LAST.set(Some(AtTheEnd));
        runtime.block_on(async { drop(Resolver::of_this_runtime()) });
    });
    thread.join().expect("no panic");
}

#[test]
fn n03_a_dead_first_server_leaves_time_for_the_others() {
    let path = std::env::temp_dir().join(format!("punctual-n03-tries-{}", std::process::id()));
    let none = "/nonexistent/punctual";
    let builder = Resolver::builder().resolv_conf(&path).hosts_file(none).nsswitch_conf(none);
    let try_ms = |builder: &ResolverBuilder, servers: usize, options: &str| {
        let lines = (1..=servers).map(|n| format!("nameserver 127.0.0.{n}\n"));
        std::fs::write(&path, lines.collect::<String>() + options).expect("written");
        let (plan, _) = builder.clone().build().0.plan();
        assert_eq!(plan.servers.len(), servers);
        plan.timeout.as_millis()
    };
    Runtime::new().expect("a runtime").block_on(async {
        let tries = [1, 2, 3].map(|servers| try_ms(&builder, servers, ""));
        assert_eq!(tries, [3_333, 2_000, 1_428]);
        for (servers, try_ms) in (1..).zip(tries) {
            let all_asked = servers * try_ms;
            assert!(all_asked < 5_000, "{servers} servers are not all asked");
            assert!(2 * all_asked > 5_000, "{servers} servers have said nothing before the time is up");
        }
        // What the file says counts where it is shorter, and what the program says in any case.
        assert_eq!(try_ms(&builder, 2, "options timeout:1\n"), 1_000);
        assert_eq!(try_ms(&builder, 2, "options timeout:9\n"), 2_000);
        let choosing = builder.clone().try_timeout(Duration::from_secs(9));
        assert_eq!(try_ms(&choosing, 2, "options timeout:1\n"), 9_000);
        // A server that has to ask others needs a second.
        let patient = builder.clone().timeout(Duration::from_secs(60));
        assert_eq!(try_ms(&patient, 3, ""), 5_000);
        let hasty = builder.clone().timeout(Duration::from_millis(50));
        assert_eq!(try_ms(&hasty, 3, ""), 1_000);
    });
    std::fs::remove_file(&path).expect("removed");
}
