//! UDP: refusals, whom a socket hears, multicast and broadcast, options, what goes wrong.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use punctual::net::{Batch, Kind, Phase, UdpSocket, transport::Udp};
use punctual::{Instant, sleep, spawn};

use crate::support::namespace::{inside_namespace, sh};
use crate::support::net::{PATIENCE, on_alarms};
use crate::support::post::Couple;
use crate::support::{MS, now_ns};

const ECONNREFUSED: Kind = Kind::Kernel(libc::ECONNREFUSED);

/// An address of this host at which nobody receives for now.
fn vacant() -> SocketAddr {
    let (socket, address) = Udp::bound();
    drop(socket);
    address
}

#[test]
fn x11_udp_refused() {
    on_alarms("x11", async |_| {
        let address = vacant();
        let (left, left_at) = Udp::bound();
        left.connect(address).expect("nothing is sent");
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let left = Rc::new(left);
        // A receive that waits is told; the send itself knew of nothing.
        let reader = left.clone();
        let reading = spawn(async move { reader.recv(&mut [0; 8]).await });
        sleep(10 * MS).await;
        left.send(b"anybody?").await.expect("it goes off");
        let error = reading.await.expect("no panic").expect_err("nobody is there");
        assert_eq!(
            (error.kind(), error.phase(), error.peer()),
            (ECONNREFUSED, Phase::Read, Some(address))
        );
        let sentence = format!("read from {address} failed: Connection refused (os error 111)");
        assert!(error.to_string().starts_with(&sentence), "{error}");
        // Once: what comes next waits again.
        left.set_read_timeout(Some(20 * MS)).expect("open");
        let armed = now_ns();
        assert!(left.recv(&mut [0; 8]).await.expect_err("silence").is_timeout());
        assert!(now_ns() - armed >= 20_000_000);
        // With nobody waiting, the next send is told.
        left.send(b"anybody?").await.expect("it goes off");
        sleep(10 * MS).await;
        let error = left.send(b"anybody?").await.expect_err("of the first");
        assert_eq!((error.kind(), error.phase()), (ECONNREFUSED, Phase::Write));
        left.set_read_timeout(None).expect("open");
        // A batch is told too.
        left.send(b"anybody?").await.expect("it goes off");
        let error = left.recv_batch(&mut Batch::new(4, 8)).await.expect_err("nobody");
        assert_eq!(error.kind(), ECONNREFUSED);

        let right = UdpSocket::bind(address).expect("it is still vacant");
        left.send(b"somebody").await.expect("usable after it all");
        let datagram = right.recv_from(&mut [0; 8]).await.expect("received");
        right.send_to(b"here", datagram.from).await.expect("sent");
        assert_eq!((left.recv(&mut [0; 8]).await.expect("received"), datagram.from), (4, left_at));
    });
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    on_alarms("connected", async |_| {
        let ((left, left_at), (peer, peer_at), (stranger, _)) =
            (Udp::bound(), Udp::bound(), Udp::bound());
        assert_eq!(left.peer_addr(), None);
        let error = left.send(b"x").await.expect_err("to nobody");
        assert!(matches!(error.kind(), Kind::Kernel(libc::EDESTADDRREQ | libc::ENOTCONN)), "{error}");
        left.connect(peer_at).expect("connected");
        assert_eq!(left.peer_addr(), Some(peer_at));
        stranger.send_to(b"psst", left_at).await.expect("sent");
        peer.send_to(b"hello", left_at).await.expect("sent");
        assert_eq!(left.recv(&mut [0; 8]).await.expect("received"), 5);
        left.set_read_timeout(Some(20 * MS)).expect("open");
        let error = left.recv(&mut [0; 8]).await.expect_err("no stranger");
        assert!(
            error.to_string().starts_with(&format!("read from {peer_at} timed out after 20 ms")),
            "{error}"
        );
        // What has come before a connect is there after it.
        let (left, left_at) = Udp::bound();
        stranger.send_to(b"early", left_at).await.expect("sent");
        left.connect(peer_at).expect("connected");
        let early = left.recv_from(&mut [0; 8]).await.expect("received");
        assert_eq!(early.from, stranger.local_addr().expect("its address"));
        // Another connect replaces it.
        left.connect(stranger.local_addr().expect("its address")).expect("connected");
        left.send(b"you too").await.expect("sent");
        assert_eq!(stranger.recv(&mut [0; 8]).await.expect("received"), 7);
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    on_alarms("refused", async |_| {
        let (taken, address) = Udp::bound();
        let error = UdpSocket::bind(address).expect_err("it is taken");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRINUSE), Phase::Bind));
        assert_eq!(UdpSocket::bind("localhost:0").expect_err("a name").kind(), Kind::InvalidInput);
        assert_eq!(taken.connect("localhost:1").expect_err("a name").kind(), Kind::InvalidInput);
        let error = taken.send_to(&[0; 70_000], address).await.expect_err("IP has no room for it");
        assert_eq!(
            (error.kind(), error.phase(), error.peer()),
            (Kind::Kernel(libc::EMSGSIZE), Phase::Write, Some(address))
        );
        let messages = [(vec![1; 10], address), (vec![2; 70_000], address), (vec![3; 10], address)];
        assert_eq!(taken.send_batch_to(&messages).await.expect("the first"), 1);
        let error = taken.send_batch_to(&messages[1..]).await.expect_err("the second");
        assert_eq!(error.kind(), Kind::Kernel(libc::EMSGSIZE));
        assert_eq!(taken.send_batch_to(&messages[2..]).await.expect("the third"), 1);
        let mut batch = Batch::new(4, 16);
        while batch.iter().all(|(_, bytes)| bytes[0] != 3) {
            taken.recv_batch(&mut batch).await.expect("received");
        }
    });
}

#[test]
fn multicast_is_heard_by_its_members() {
    on_alarms("multicast", async |_| {
        let group = Ipv4Addr::new(239, 255, 77, 77);
        let member = UdpSocket::bind("0.0.0.0:0").expect("bound");
        // Or it hears, having left, what it sends to the group for as long as the other alarm's is a member.
        #[cfg(target_os = "linux")]
        member.with_socket(|socket| socket.set_multicast_all_v4(false)).expect("open").expect("set");
        let port = member.local_addr().expect("its address").port();
        let (sender, _) = Udp::bound();
        sender
            .with_socket(|socket| socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST))
            .expect("open")
            .expect("set");
        sender.set_multicast_ttl_v4(1).expect("set");
        assert_eq!(sender.multicast_ttl_v4().expect("set"), 1);
        assert!(sender.multicast_loop_v4().expect("the default"));
        member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect("joined");
        member.set_read_timeout(Some(PATIENCE)).expect("open");
        sender.send_to(b"all", (group, port)).await.expect("sent");
        assert_eq!(member.recv(&mut [0; 8]).await.expect("received"), 3);
        member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect("left");
        sender.send_to(b"gone", (group, port)).await.expect("sent");
        member.set_read_timeout(Some(20 * MS)).expect("open");
        assert!(member.recv(&mut [0; 8]).await.expect_err("a member no more").is_timeout());
        let error = member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect_err("not a member");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRNOTAVAIL), Phase::Configure));
    });
}

#[test]
fn multicast_over_ipv6() {
    // The loopback interface does not bring it back.
    if !inside_namespace("udp::multicast_over_ipv6") {
        return;
    }
    sh("ip link add v0 type veth peer name v1
        ip -6 addr add fd77::1/64 dev v0 nodad
        ip link set v0 up; ip link set v1 up
        # The kernel notices by and by that the link is there.
        up() { ip link show v0 | grep -q 'state UP' && ip -6 route show table local | grep -q 'ff00::/8 dev v0'; }
        until up; do :; done");
    let addresses = std::fs::read_to_string("/proc/self/net/if_inet6").expect("/proc");
    let line = addresses.lines().find(|line| line.ends_with("v0")).expect("the address just given");
    let index = line.split_whitespace().nth(1).and_then(|index| u32::from_str_radix(index, 16).ok());
    let index = index.expect("the number of the interface");
    on_alarms("multicast v6", async |_| {
        let member = UdpSocket::bind("[::]:0").expect("bound");
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x77);
        let sender = UdpSocket::bind("[fd77::1]:0").expect("bound");
        sender.with_socket(|socket| socket.set_multicast_if_v6(index)).expect("open").expect("set");
        sender.set_multicast_loop_v6(true).expect("set");
        member.join_multicast_v6(&group, index).expect("joined");
        member.set_read_timeout(Some(PATIENCE)).expect("open");
        let port = member.local_addr().expect("its address").port();
        sender.send_to(b"all", SocketAddr::from((group, port))).await.expect("sent");
        let datagram = member.recv_from(&mut [0; 8]).await.expect("received");
        assert_eq!(datagram.from, sender.local_addr().expect("its address"));
        member.leave_multicast_v6(&group, index).expect("left");
    });
}

#[test]
fn broadcast_has_to_be_allowed() {
    on_alarms("broadcast", async |_| {
        let everybody = Ipv4Addr::new(127, 255, 255, 255);
        let receiver = UdpSocket::bind("0.0.0.0:0").expect("bound");
        let port = receiver.local_addr().expect("its address").port();
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bound");
        assert!(!sender.broadcast().expect("the default"));
        let error = sender.send_to(b"x", (everybody, port)).await.expect_err("not allowed");
        assert_eq!(error.kind(), Kind::Kernel(libc::EACCES));
        sender.set_broadcast(true).expect("set");
        sender.send_to(b"to all", (everybody, port)).await.expect("allowed");
        assert_eq!(receiver.recv(&mut [0; 8]).await.expect("received"), 6);
    });
}

#[test]
fn options_are_set_and_read() {
    on_alarms("options", async |_| {
        let (socket, _) = Udp::bound();
        socket.set_ttl(7).expect("set");
        assert_eq!(socket.ttl().expect("set"), 7);
        socket.set_multicast_loop_v4(false).expect("set");
        assert!(!socket.multicast_loop_v4().expect("set"));
        socket.set_recv_buffer_size(64 * 1024).expect("set");
        assert!(socket.recv_buffer_size().expect("set") >= 64 * 1024);
        socket.set_send_buffer_size(64 * 1024).expect("set");
        assert!(socket.send_buffer_size().expect("set") >= 64 * 1024);
        // Given away and taken back, connected as it was.
        let (_peer, peer_at) = Udp::bound();
        socket.connect(peer_at).expect("connected");
        let std = socket.into_std().expect("open");
        assert_eq!(std.ttl().expect("the same socket"), 7);
        let socket = UdpSocket::from_std(std).expect("registered");
        assert_eq!(socket.peer_addr(), Some(peer_at));
        socket.close();
        assert_eq!(socket.into_std().expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn b02_receiving_is_fair_to_the_rest_of_the_loop() {
    on_alarms("receive budget", async |runtime| {
        let (left, right) = Udp::couple();
        left.set_recv_buffer_size(1 << 20).expect("set");
        for _ in 0..100 {
            right.send(&[0; 16]).await.expect("sent");
        }
        let before = runtime.metrics().turns;
        for _ in 0..100 {
            left.recv(&mut [0; 16]).await.expect("received");
        }
        let turns = runtime.metrics().turns - before;
        assert!(turns >= 100 / 16, "at most 16 reads in a turn: {turns} turns for 100");
    });
}
