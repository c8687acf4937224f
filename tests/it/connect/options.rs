//! Options of sockets, the hooks before the connect and the bind, and what is said when they fail.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Connect, Keepalive, Kind, Listen, Phase, TcpListener, TcpOptions, TcpStream};
use punctual::{Instant, Runtime};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::support::net::*;
use crate::support::{MS, child, skip, watchdog};

const SECOND: Duration = Duration::from_secs(1);

/// Every option, with values that no default has.
fn all_options() -> TcpOptions {
    TcpOptions::new()
        .nodelay(true)
        .keepalive(Keepalive::after(77 * SECOND).interval(7_500 * MS).count(5))
        .user_timeout(12_345 * MS)
        .syn_count(3)
        .reset_on_close(true)
        .receive_buffer(40_000)
        .send_buffer(30_000)
        .hop_limit(17)
        .traffic_class(0x28)
}

/// As the kernel says.
fn assert_all(socket: &SockRef<'_>, v6: bool) {
    assert!(socket.tcp_nodelay().expect("asked") && socket.keepalive().expect("asked"));
    assert_eq!(socket.tcp_keepalive_time().expect("asked"), 77 * SECOND);
    assert_eq!(socket.tcp_keepalive_interval().expect("asked"), 8 * SECOND, "rounded up");
    assert_eq!(socket.tcp_keepalive_retries().expect("asked"), 5);
    assert_eq!(socket.tcp_user_timeout().expect("asked"), Some(12_345 * MS));
    assert_eq!(socket.linger().expect("asked"), Some(Duration::ZERO));
    // Linux doubles them.
    assert_eq!(socket.recv_buffer_size().expect("asked"), 80_000);
    assert_eq!(socket.send_buffer_size().expect("asked"), 60_000);
    let (hops, class) = match v6 {
        true => (socket.unicast_hops_v6(), socket.tclass_v6()),
        false => (socket.ttl_v4(), socket.tos_v4()),
    };
    assert_eq!((hops.expect("asked"), class.expect("asked")), (17, 0x28));
}

#[test]
fn options_are_set_before_it_connects_and_are_inherited_by_what_is_accepted() {
    on_alarms("options", async |_| {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let listener = Listen::on(bind).options(all_options()).bind().expect("a listener");
            let address = listener.local_addr().expect("its address");
            let seen = Rc::new(RefCell::new(0));
            let hook = {
                let seen = seen.clone();
                move |socket: SockRef<'_>, to: SocketAddr| {
                    assert_all(&socket, to.is_ipv6());
                    assert!(socket.peer_addr().is_err(), "not yet connected");
                    assert_eq!(to, address);
                    *seen.borrow_mut() += 1;
                    Ok(())
                }
            };
            let connect = Connect::to(address).options(all_options()).before_connect(hook);
            let stream = connect.await.expect("connected");
            let (server, _) = listener.accept().await.expect("accepted");
            assert_eq!(*seen.borrow(), 1);
            for stream in [&stream, &server] {
                stream.with_socket(|socket| assert_all(&socket, address.is_ipv6())).expect("open");
            }
        }
    });
}

#[test]
fn options_of_a_stream_are_read_back() {
    on_alarms("stream options", async |_| {
        let (stream, _peer) = tcp_pair().await;
        assert_eq!(stream.keepalive().expect("asked"), None);
        let probes = Keepalive::after(9 * SECOND).interval(2 * SECOND).count(4);
        stream.set_keepalive(Some(probes)).expect("set");
        assert_eq!(stream.keepalive().expect("asked"), Some(probes));
        stream.set_keepalive(None).expect("set");
        assert_eq!(stream.keepalive().expect("asked"), None);

        assert_eq!(stream.user_timeout().expect("asked"), None);
        stream.set_user_timeout(Some(Duration::from_micros(1_001))).expect("set");
        assert_eq!(stream.user_timeout().expect("asked"), Some(2 * MS), "rounded up");

        stream.set_write_timeout(Some(5 * SECOND)).expect("open");
        stream.set_user_timeout_from_deadline().expect("set");
        assert_eq!(stream.user_timeout().expect("asked"), Some(5 * SECOND));
        stream.set_write_deadline(Some(Instant::now() + 3 * SECOND)).expect("open");
        stream.set_user_timeout_from_deadline().expect("set");
        let taken = stream.user_timeout().expect("asked").expect("from the deadline");
        assert!(taken <= 3 * SECOND && taken > SECOND, "{taken:?}");
        stream.set_write_deadline(Some(Instant::from_nanos(1))).expect("open");
        stream.set_user_timeout_from_deadline().expect("set");
        assert_eq!(stream.user_timeout().expect("asked"), Some(MS), "at least that");
        stream.set_deadline(None).expect("open");
        stream.set_timeout(None).expect("open");
        stream.set_user_timeout_from_deadline().expect("set");
        assert_eq!(stream.user_timeout().expect("asked"), None, "left to the system");
        stream.close();
        assert_eq!(stream.set_keepalive(None).expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn the_user_timeout_of_a_connect_is_what_it_has_left_and_for_connecting_alone() {
    on_alarms("user timeout", async |_| {
        let (_listener, address) = listen();
        let options = TcpOptions::new().user_timeout_from_deadline();
        let seen = Rc::new(RefCell::new(None));
        let told = seen.clone();
        let connect = Connect::to(address).timeout(5 * SECOND).options(options.clone());
        let connect = connect.before_connect(move |socket, _| {
            *told.borrow_mut() = socket.tcp_user_timeout()?;
            Ok(())
        });
        let stream = connect.await.expect("connected");
        let taken = seen.take().expect("set before the SYN");
        assert!(taken <= 5_011 * MS && taken > 2 * SECOND, "{taken:?}");
        assert_eq!(stream.user_timeout().expect("asked"), None, "the next loss would end it");
        let given = Connect::to(address).options(TcpOptions::new().user_timeout(7 * SECOND));
        let stream = given.await.expect("connected");
        assert_eq!(stream.user_timeout().expect("asked"), Some(7 * SECOND), "this one stays");
        let listener = Listen::on("127.0.0.1:0").options(options).bind().expect("a listener");
        let taken = listener.with_socket(|socket| socket.tcp_user_timeout()).expect("open");
        assert_eq!(taken.expect("asked"), None, "a listener has no deadline");
    });
}

#[test]
fn the_hook_has_each_socket_and_its_address() {
    on_alarms("hook", async |_| {
        let (_held, refused) = closed_port();
        let (_listener, address) = listen();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let told = seen.clone();
        let connect = Connect::to(vec![refused, address]).before_connect(move |socket, to| {
            told.borrow_mut().push(to);
            // Its own source, which `from` could give only to all.
            socket.bind(&SocketAddr::from(([127, 0, 15, 7], 0)).into())
        });
        let stream = connect.await.expect("connected");
        assert_eq!(*seen.borrow(), [refused, address]);
        assert_eq!(stream.local_addr().expect("its address").ip().to_string(), "127.0.15.7");
    });
}

#[test]
fn an_error_of_the_hook_is_named_and_sends_no_syn() {
    on_alarms("hook fails", async |runtime| {
        let std_listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        std_listener.set_nonblocking(true).expect("set");
        let address = std_listener.local_addr().expect("its address");
        let eperm = |_: SockRef<'_>, _| Err(io::Error::from_raw_os_error(libc::EPERM));
        let none = |_: SockRef<'_>, _| Err(io::Error::new(ErrorKind::Unsupported, "no such option"));
        let cases = [
            (Connect::to(address).before_connect(eperm), Kind::Kernel(libc::EPERM)),
            (Connect::to(address).before_connect(none), Kind::Unsupported),
        ];
        for (connect, kind) in cases {
            let error = connect.await.expect_err("the hook says no");
            assert_eq!((error.kind(), error.phase()), (kind, Phase::Configure), "{error}");
            assert_eq!((error.peer(), error.is_retry_safe()), (Some(address), false));
            let text = error.to_string();
            let expected = format!("setting up {address} failed: the hook before the connect: ");
            assert!(text.starts_with(&expected), "{text}");
        }
        let error = Connect::to(vec![address; 2]).before_connect(eperm).await.expect_err("both");
        assert_eq!((error.phase(), error.sources().len()), (Phase::Configure, 2), "{error}");
        assert_eq!(std_listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
        let error = Listen::on("127.0.0.1:0").before_bind(eperm).bind().expect_err("the hook says no");
        assert!(error.to_string().contains("the hook before the bind"), "{error}");
        let bad = Connect::to(address).options(TcpOptions::new().syn_count(0));
        let error = bad.await.expect_err("the kernel takes 1 to 127");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EINVAL), Phase::Configure));
        assert!(error.to_string().contains("TCP_SYNCNT"), "{error}");
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn the_hook_marks_a_socket() {
    let probe = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    if probe.expect("a socket").set_mark(1).is_err() {
        return skip("SO_MARK is refused; CAP_NET_ADMIN would run it");
    }
    on_alarms("mark", async |_| {
        let (_listener, address) = listen();
        let stream = Connect::to(address).before_connect(|socket, _| socket.set_mark(77)).await;
        let mark = stream.expect("connected").with_socket(|socket| socket.mark()).expect("open");
        assert_eq!(mark.expect("asked"), 77);
    });
}

#[test]
fn a_port_is_shared_by_those_who_all_ask_for_it() {
    on_alarms("reuse port", async |_| {
        let shared = |address: SocketAddr| Listen::on(address).reuse_port(true).bind();
        let first = shared(([127, 0, 0, 1], 0).into()).expect("a listener");
        let address = first.local_addr().expect("its address");
        let second = shared(address).expect("the port is shared");
        assert_eq!(second.local_addr().expect("its address"), address);
        let error = TcpListener::bind(address).expect_err("this one did not ask");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRINUSE), Phase::Bind));
    });
}

#[test]
fn a_v6_listener_leaves_v4_alone_if_told_to() {
    on_alarms("v6 only", async |_| {
        let only = Listen::on("[::]:0").v6_only(true).bind().expect("a listener");
        let port = only.local_addr().expect("its address").port();
        let error = TcpStream::connect(("127.0.0.1", port)).await.expect_err("not listened to");
        assert_eq!(error.kind(), Kind::Kernel(libc::ECONNREFUSED), "{error}");

        let both = Listen::on("[::]:0").v6_only(false).bind().expect("a listener");
        let port = both.local_addr().expect("its address").port();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
        // Of an IPv4 address it says nothing.
        assert!(Listen::on("127.0.0.1:0").v6_only(true).bind().is_ok());
    });
}

#[test]
fn r02_out_of_descriptors() {
    if !child::plays("descriptors") {
        let test = "connect::options::r02_out_of_descriptors";
        return child::succeed(child::command(test, "descriptors"));
    }
    let _watchdog = watchdog("r02", PATIENCE / 10);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (_listener, address) = listen();
        let before = std::fs::read_dir("/proc/self/fd").expect("/proc").count();
        let limit = getrlimit(Resource::Nofile);
        // Until the next number would be beyond it.
        let next = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null").expect("opened"));
        let none = Rlimit { current: Some(next as u64), maximum: limit.maximum };
        setrlimit(Resource::Nofile, none).expect("lowered");
        let one = Connect::to(address).await.expect_err("no descriptor");
        let several = Connect::to(vec![address; 3]).await.expect_err("no descriptor");
        setrlimit(Resource::Nofile, limit).expect("raised");
        for error in [&one, &several] {
            assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EMFILE), Phase::Connect));
            assert!(error.is_retry_safe(), "{error}");
        }
        assert_eq!(several.sources().len(), 3);
        assert_eq!(std::fs::read_dir("/proc/self/fd").expect("/proc").count(), before);
        assert_eq!(runtime.metrics().live_sources, 1, "the listener");
        Connect::to(address).await.expect("a descriptor again");
    });
    assert_baseline(&runtime);
}

#[test]
fn a_listener_has_room_for_more_than_128() {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let granted: usize = somaxconn.and_then(|text| text.trim().parse().ok()).unwrap_or(128);
    if granted < 512 {
        return skip("net.core.somaxconn is below 512; a higher one would run it");
    }
    on_alarms("backlog", async |_| {
        let (_listener, address) = listen();
        let dial =
            || std::net::TcpStream::connect_timeout(&address, 900 * MS).expect("no SYN is dropped");
        let waiting: Vec<_> = (0..300).map(|_| dial()).collect();
        assert_eq!(waiting.len(), 300);

        let narrow = TcpListener::bind_with_backlog("127.0.0.1:0", 1).expect("a listener");
        let address = narrow.local_addr().expect("its address");
        let dial = || std::net::TcpStream::connect_timeout(&address, 200 * MS);
        let waiting: Vec<_> = (0..4).map(|_| dial()).collect();
        let answered = waiting.iter().filter(|dialled| dialled.is_ok()).count();
        assert!((1..4).contains(&answered), "{answered} of 4 with a backlog of 1");
    });
}

#[test]
fn the_socket_can_be_had_at_and_given_back() {
    on_alarms("socket", async |runtime| {
        let (listener, address) = listen();
        let flags = listener.with_socket(|socket| {
            let on_exec = rustix::io::fcntl_getfd(&*socket).expect("its flags");
            (socket.reuse_address().expect("asked"), socket.nonblocking().expect("asked"), on_exec)
        });
        assert_eq!(flags.expect("open"), (true, true, rustix::io::FdFlags::CLOEXEC));
        let stream = TcpStream::connect(address).await.expect("connected");
        let (server, _) = listener.accept().await.expect("accepted");
        let idle = 77 * Duration::from_secs(1);
        stream
            .with_socket(|socket| socket.set_tcp_user_timeout(Some(idle)))
            .expect("open")
            .expect("set");
        let std_stream = stream.into_std().expect("open");
        let std_listener = listener.into_std().expect("open");
        assert_eq!(std_listener.local_addr().expect("its address"), address);
        assert_eq!(runtime.metrics().live_sources, 1, "the server's end");
        let stream = TcpStream::from_std(std_stream).expect("registered anew");
        let kept = stream.with_socket(|socket| socket.tcp_user_timeout()).expect("open");
        assert_eq!(kept.expect("asked"), Some(idle));
        server.write_all(b"same").await.expect("sent");
        assert_eq!(stream.recv_exactly(4).await, b"same");
        stream.close();
        assert_eq!(stream.with_socket(|_| ()).expect_err("closed").kind(), Kind::Closed);
        assert_eq!(stream.into_std().expect_err("closed").kind(), Kind::Closed);
    });
}
