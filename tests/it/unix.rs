//! Unix sockets: full backlogs and queues under deadlines, peers, descriptors that come along, what goes wrong.

use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use punctual::net::transport::UnixMessages;
use punctual::net::{Kind, Phase, UnixAddress, UnixDatagram, UnixListener, UnixStream};
use punctual::{Instant, Runtime, sleep, spawn, timeout, yield_now};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::net::{PATIENCE, assert_baseline, on_alarms};
use crate::support::post::{Couple, unix_name};
use crate::support::{MS, child, now_ns, temporary};

const ECONNREFUSED: Kind = Kind::Kernel(libc::ECONNREFUSED);
const ECONNRESET: Kind = Kind::Kernel(libc::ECONNRESET);

/// A listener that has as many waiting as it takes, and the connections that wait.
async fn full_listener() -> (UnixListener, UnixAddress, Vec<UnixStream>) {
    let address = unix_name("full");
    let listener = UnixListener::bind_with_backlog(&address, 0).expect("bound");
    let mut waiting = Vec::new();
    loop {
        match UnixStream::connect_timeout(&address, 5 * MS).await {
            Ok(stream) => waiting.push(stream),
            Err(error) if error.is_timeout() && !waiting.is_empty() => {
                return (listener, address, waiting);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_backlog_times_out_and_never_early() {
    on_alarms("full backlog", async |runtime| {
        let (listener, address, waiting) = full_listener().await;
        let sources = runtime.metrics().live_sources;
        for budget in [MS, 7 * MS, 120 * MS] {
            let (armed, turns) = (now_ns(), runtime.metrics().turns);
            let connecting = UnixStream::connect_timeout(&address, budget);
            // Its time goes from the call on, and that is what is told.
            sleep(if budget > 100 * MS { 20 * MS } else { Duration::ZERO }).await;
            let error = connecting.await.expect_err("no room");
            let passed = Duration::from_nanos(now_ns() - armed);
            assert!(passed >= budget, "early: {passed:?} of {budget:?}");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect));
            let info = error.deadline().expect("a deadline");
            assert_eq!(info.budget(), Some(budget));
            assert!(info.elapsed() >= Some(budget), "{error}");
            assert!(info.location().is_some_and(|at| at.file().ends_with("unix.rs")), "{error}");
            assert!(
                error.to_string().starts_with(&format!("connect to {address} timed out")),
                "{error}"
            );
            // After 1, 2, 4, 8, 16, 32, 50 ms, and at the end; each pause is a turn or two.
            let turns = runtime.metrics().turns - turns;
            assert!(turns <= 40, "no spinning: {turns} turns in {budget:?}");
            assert_eq!(runtime.metrics().live_sources, sources, "the socket is closed");
        }
        let none = UnixStream::connect_timeout(&address, Duration::ZERO).await.expect_err("no time");
        assert!(none.deadline().is_some_and(|info| info.before_it_began()), "{none}");
        drop((listener, waiting));
    });
}

#[test]
fn a_full_backlog_is_tried_until_there_is_room() {
    on_alarms("drained backlog", async |_| {
        let (listener, address, waiting) = full_listener().await;
        let connecting = spawn(async move { UnixStream::connect_timeout(&address, PATIENCE).await });
        sleep(60 * MS).await;
        assert!(!connecting.is_finished(), "there is no room yet");
        for _ in &waiting {
            listener.accept().await.expect("accepted");
        }
        let client = connecting.await.expect("no panic").expect("there is room now");
        let (server, _) = listener.accept().await.expect("accepted");
        client.write_all(b"in time").await.expect("sent");
        let mut buffer = [0; 7];
        server.read_exact(&mut buffer).await.expect("received");
        assert_eq!(&buffer, b"in time");
    });
}

#[test]
fn a_full_backlog_at_the_deadline_is_tried_once_more() {
    on_alarms("once more", async |_| {
        let (listener, address, waiting) = full_listener().await;
        // The pauses of 1, 2, 4, 8, 16 and 32 ms end at 63 ms, and the next at 113 ms.
        let begun = Instant::now();
        let connecting = spawn(async move { UnixStream::connect_timeout(&address, 100 * MS).await });
        sleep(75 * MS).await;
        for _ in &waiting {
            listener.accept().await.expect("accepted");
        }
        let in_time = begun.elapsed() < 95 * MS;
        let connected = connecting.await.expect("no panic");
        assert!(connected.is_ok() || !in_time, "{connected:?}");
    });
}

#[test]
fn a_connect_that_is_given_up_leaves_nothing() {
    on_alarms("given up", async |runtime| {
        let (listener, address, waiting) = full_listener().await;
        let sources = runtime.metrics().live_sources;
        for _ in 0..50 {
            let connecting = UnixStream::connect(&address);
            timeout(MS, connecting).await.expect_err("no room");
        }
        let metrics = runtime.metrics();
        assert_eq!((metrics.live_sources, metrics.live_timers), (sources, 0));
        for _ in &waiting {
            listener.accept().await.expect("accepted");
        }
        listener.set_timeout(Some(100 * MS)).expect("open");
        assert!(listener.accept().await.expect_err("nobody else has come").is_timeout());
    });
}

#[test]
fn streams_connect_under_names_and_paths_and_know_their_peers() {
    on_alarms("addresses", async |_| {
        let path = temporary("sock");
        for address in [unix_name("stream"), UnixAddress::from(&path)] {
            let listener = Rc::new(UnixListener::bind(&address).expect("bound"));
            assert_eq!(listener.local_addr().expect("its address"), address);
            let error = UnixListener::bind(&address).expect_err("it is taken");
            assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRINUSE), Phase::Bind));
            let accepting = spawn({
                let listener = listener.clone();
                async move { listener.accept().await }
            });
            let client = UnixStream::connect(&address).await.expect("connected");
            let (server, from) = accepting.await.expect("no panic").expect("accepted");
            assert!(from.is_unnamed() && server.peer_addr().is_unnamed());
            assert_eq!(
                (client.peer_addr(), server.local_addr().expect("its address")),
                (&address, address.clone())
            );
            let peer = server.peer_credentials().expect("it is asked");
            assert_eq!(peer.process, Some(std::process::id()));
            assert_eq!(peer.user, rustix::process::geteuid().as_raw());
            assert_eq!(peer.group, rustix::process::getegid().as_raw());

            server.set_read_timeout(Some(MS)).expect("open");
            let error = server.read(&mut [0; 1]).await.expect_err("it says nothing");
            let sentence = format!("read from a client of {address} timed out after 1 ms");
            assert!(error.to_string().starts_with(&sentence), "{error}");
            client.close();
            assert_eq!(client.peer_credentials().expect_err("closed").kind(), Kind::Closed);
            // Given away and taken back.
            let std = server.into_std().expect("open");
            let server = UnixStream::from_std(std).expect("registered");
            assert_eq!(server.read(&mut [0; 1]).await.expect("the end"), 0);
            let Ok(listener) = Rc::try_unwrap(listener) else { panic!("nobody else has it") };
            let listener =
                UnixListener::from_std(listener.into_std().expect("open")).expect("registered");
            listener.close();
            assert_eq!(listener.accept().await.expect_err("closed").kind(), Kind::Closed);
        }
        let error = UnixStream::connect(&path).await.expect_err("the file is left, and nobody listens");
        assert_eq!((error.kind(), error.phase()), (ECONNREFUSED, Phase::Connect));
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        std::fs::remove_file(&path).expect("it is there");
        let error = UnixStream::connect(&path).await.expect_err("nothing is there");
        assert_eq!(error.kind(), Kind::Kernel(libc::ENOENT));
        for invalid in ["", "a\0b", &"x".repeat(200)] {
            assert_eq!(
                UnixStream::connect(invalid).await.expect_err("no address").kind(),
                Kind::InvalidInput
            );
            assert_eq!(UnixListener::bind(invalid).expect_err("no address").kind(), Kind::InvalidInput);
            assert_eq!(UnixDatagram::bind(invalid).expect_err("no address").kind(), Kind::InvalidInput);
        }
    });
}

#[test]
fn d03_past_accept_queue_ready() {
    on_alarms("d03", async |_| {
        let address = unix_name("d03");
        let listener = UnixListener::bind(&address).expect("bound");
        let _client = UnixStream::connect(&address).await.expect("queued");
        listener.set_deadline(Some(Instant::from_nanos(1))).expect("open");
        for _ in 0..2 {
            let error = listener.accept().await.expect_err("its deadline has passed");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Accept));
        }
        listener.set_deadline(None).expect("open");
        listener.accept().await.expect("it is still queued");
    });
}

#[test]
fn x05_a_peer_that_has_not_read_resets_and_x06_what_it_had_sent_comes_first() {
    on_alarms("x05", async |_| {
        let (left, right) = UnixStream::pair().expect("a pair");
        let left = Rc::new(left);
        left.write_all(b"unread").await.expect("sent");
        let reader = left.clone();
        let reading = spawn(async move { reader.read(&mut [0; 8]).await.map_err(|error| error.kind()) });
        yield_now().await;
        drop(right);
        assert_eq!(reading.await.expect("no panic"), Err(ECONNRESET));
        // And it stays so, though the kernel says it only once.
        assert_eq!(left.read(&mut [0; 1]).await.expect_err("broken").kind(), ECONNRESET);
        assert_eq!(left.write(&[0; 1]).await.expect_err("broken").kind(), ECONNRESET);
        left.shutdown(Shutdown::Both).expect("after a reset");

        let (left, right) = UnixStream::pair().expect("a pair");
        let data: Vec<u8> = (0..64 * 1024).map(|n: u32| (n / 7) as u8).collect();
        right.write_all(&data).await.expect("sent");
        drop(right);
        let mut received = vec![0; data.len()];
        left.read_exact(&mut received).await.expect("all of it");
        assert!(received == data);
        assert_eq!(left.read(&mut [0; 1]).await.expect("then the end"), 0);
    });
}

/// Sends `bytes` and a descriptor along.
fn send_along(socket: impl AsFd, bytes: &[u8], descriptor: impl AsFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut along, SendFlags::empty());
    assert_eq!(sent.expect("room"), bytes.len());
}

/// A pipe whose end is seen once every copy of its writing end is gone.
fn assert_gone(mut reader: std::io::PipeReader) {
    rustix::io::ioctl_fionbio(&reader, true).expect("set");
    assert_eq!(reader.read(&mut [0; 1]).expect("the end: nobody kept the other"), 0);
}

#[test]
fn descriptors_that_come_along_cut_reads_and_lose_nothing() {
    on_alarms("along", async |_| {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let near = UnixStream::from_std(near).expect("registered");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        send_along(&far, b"a", &writer);
        send_along(&far, b"b", &writer);
        std::io::Write::write_all(&mut &far, b"cdef").expect("room");
        drop(writer);
        let mut all = Vec::new();
        while all.len() < 6 {
            let mut buffer = [0; 64];
            let bytes = near.read(&mut buffer).await.expect("no event tells of the rest");
            all.extend_from_slice(&buffer[..bytes]);
        }
        assert_eq!(all, b"abcdef");
        assert_gone(reader);
    });
}

#[test]
fn descriptors_that_come_with_datagrams_are_not_kept() {
    on_alarms("unasked", async |_| {
        for timestamps in [false, true] {
            let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
            let near = UnixDatagram::from_std(near).expect("registered");
            near.set_receive_timestamps(timestamps).expect("set");
            let (reader, writer) = std::io::pipe().expect("a pipe");
            for _ in 0..3 {
                send_along(&far, b"gift", &writer);
            }
            drop(writer);
            let mut buffer = [0; 8];
            for peek in [true, false, false] {
                let datagram = if peek {
                    near.peek_from(&mut buffer).await
                } else {
                    near.recv_from(&mut buffer).await
                };
                let datagram = datagram.expect("received");
                assert_eq!((datagram.len, datagram.received_at.is_some()), (4, timestamps));
            }
            let mut batch = punctual::net::Batch::new(4, 8);
            assert_eq!(near.recv_batch(&mut batch).await.expect("received"), 1);
            assert_gone(reader);
        }
    });
}

/// Sends to a receiver until its queue is full.
async fn fill(sender: &UnixDatagram, to: Option<&UnixAddress>) -> usize {
    sender.set_write_timeout(Some(5 * MS)).expect("open");
    let mut sent = 0;
    loop {
        let result = match to {
            Some(to) => sender.send_to(b"filler", to).await,
            None => sender.send(b"filler").await,
        };
        match result {
            Ok(_) => sent += 1,
            Err(error) if error.is_timeout() => break,
            Err(error) => panic!("{error}"),
        }
    }
    sender.set_write_timeout(None).expect("open");
    assert!(sent > 0, "the queue takes some");
    sent
}

#[test]
fn a_full_queue_of_a_receiver_times_out_and_is_tried_until_there_is_room() {
    on_alarms("full queue", async |runtime| {
        for connected in [false, true] {
            let (receiver, address) = UnixMessages::bound();
            let sender = UnixDatagram::unbound().expect("a socket");
            let to = if connected {
                sender.connect(&address).expect("connected");
                None
            } else {
                Some(address.clone())
            };
            let filled = fill(&sender, to.as_ref()).await;
            for budget in [3 * MS, 90 * MS] {
                let (armed, turns) = (now_ns(), runtime.metrics().turns);
                sender.set_write_deadline(Some(Instant::now() + budget)).expect("open");
                let result = match &to {
                    Some(to) => sender.send_to(b"late", to).await,
                    None => sender.send(b"late").await,
                };
                let error = result.expect_err("no room");
                let passed = Duration::from_nanos(now_ns() - armed);
                assert!(error.is_timeout() && passed >= budget, "{error}: {passed:?} of {budget:?}");
                assert!(error.to_string().starts_with(&format!("write to {address} missed")), "{error}");
                let turns = runtime.metrics().turns - turns;
                assert!(turns <= 40, "no spinning: {turns} turns in {budget:?}");
            }
            // One that knows nothing yet of the queue.
            let (writer, to) = (UnixDatagram::unbound().expect("a socket"), to.clone());
            if connected {
                writer.connect(&address).expect("connected");
            }
            let sending = spawn(async move {
                match &to {
                    Some(to) => writer.send_to(b"pending", to).await,
                    None => writer.send(b"pending").await,
                }
            });
            sleep(20 * MS).await;
            assert!(!sending.is_finished(), "there is no room yet");
            // A connected sender is woken by the kernel; the other has to look for itself.
            assert_eq!(runtime.metrics().live_timers, usize::from(!connected));
            // A full queue is nothing to those who send elsewhere.
            let (other, other_at) = UnixMessages::bound();
            if !connected {
                sender.set_write_deadline(Some(Instant::now() + PATIENCE)).expect("open");
                sender.send_to(b"elsewhere", other_at).await.expect("there is room");
                assert_eq!(other.recv(&mut [0; 16]).await.expect("received"), 9);
            }
            for _ in 0..filled {
                assert_eq!(receiver.recv(&mut [0; 16]).await.expect("a filler"), 6);
            }
            assert_eq!(sending.await.expect("no panic").expect("there is room now"), 7);
            assert_eq!(receiver.recv(&mut [0; 16]).await.expect("and nothing else"), 7);
        }
    });
}

#[test]
fn a_receiver_that_goes_away_ends_those_who_wait_to_send() {
    on_alarms("gone", async |_| {
        for connected in [false, true] {
            let (receiver, address) = UnixMessages::bound();
            let sender = Rc::new(UnixDatagram::unbound().expect("a socket"));
            let to = if connected {
                sender.connect(&address).expect("connected");
                None
            } else {
                Some(address.clone())
            };
            fill(&sender, to.as_ref()).await;
            let (writer, to) = (sender.clone(), to.clone());
            let sending = spawn(async move {
                match &to {
                    Some(to) => writer.send_batch_to(&[(b"pending", to.clone())]).await,
                    None => writer.send_batch(&[b"pending"]).await,
                }
            });
            sleep(5 * MS).await;
            receiver.close();
            let error = sending.await.expect("no panic").expect_err("nobody is there");
            assert_eq!((error.kind(), error.phase()), (ECONNREFUSED, Phase::Write));
            // Closed while it waits.
            let (receiver, address) = UnixMessages::bound();
            fill(&sender, Some(&address)).await;
            let writer = sender.clone();
            let sending = spawn(async move { writer.send_to(b"pending", &address).await });
            sleep(5 * MS).await;
            sender.close();
            assert_eq!(sending.await.expect("no panic").expect_err("closed").kind(), Kind::Closed);
            drop(receiver);
        }
    });
}

#[test]
fn datagram_sockets_are_bound_unbound_and_given_back() {
    on_alarms("datagrams", async |_| {
        let path = temporary("dgram");
        let bound = UnixDatagram::bind(&path).expect("bound");
        assert_eq!(bound.local_addr().expect("its address").as_path(), Some(path.as_path()));
        let nobody = UnixDatagram::unbound().expect("a socket");
        assert!(nobody.local_addr().expect("none").is_unnamed() && nobody.peer_addr().is_none());
        nobody.send_to(b"from nobody", path.as_path()).await.expect("sent");
        let datagram = bound.recv_from(&mut [0; 16]).await.expect("received");
        assert!(datagram.from.is_unnamed() && datagram.len == 11);
        let error = bound.send_to(b"answer", datagram.from).await.expect_err("to nobody");
        assert_eq!((error.kind(), error.phase()), (Kind::InvalidInput, Phase::Write));
        let error = nobody.connect(unix_name("vacant")).expect_err("nobody is there");
        assert_eq!((error.kind(), error.phase()), (ECONNREFUSED, Phase::Connect));
        nobody.connect(&path).expect("connected");
        assert_eq!(nobody.peer_addr(), Some(UnixAddress::from(&path)));
        let std = nobody.into_std().expect("open");
        let nobody = UnixDatagram::from_std(std).expect("registered");
        assert_eq!(nobody.peer_addr(), Some(UnixAddress::from(&path)));
        nobody.send(b"again").await.expect("sent");
        assert_eq!(bound.recv(&mut [0; 16]).await.expect("received"), 5);
        std::fs::remove_file(&path).expect("it is there");
        let _ = nobody;
    });
}

#[test]
fn out_of_descriptors_is_said_and_leaks_nothing() {
    if !child::plays("out of descriptors") {
        let test = "unix::out_of_descriptors_is_said_and_leaks_nothing";
        return child::succeed(child::command(test, "out of descriptors"));
    }
    let open = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let runtime = Runtime::new().expect("a runtime");
    let address = unix_name("fds");
    runtime.block_on(async {
        let listener = Rc::new(UnixListener::bind(&address).expect("bound"));
        let before = open();
        let client = UnixStream::connect(&address).await.expect("queued");
        let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, limit).expect("lowered");
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        let emfile = Kind::Kernel(libc::EMFILE);
        let error = UnixStream::connect(&address).await.expect_err("no descriptor is left");
        assert_eq!((error.kind(), error.phase()), (emfile, Phase::Connect));
        assert_eq!(UnixStream::pair().expect_err("none").kind(), emfile);
        assert_eq!(UnixDatagram::pair().expect_err("none").kind(), emfile);
        assert_eq!(UnixDatagram::unbound().expect_err("none").kind(), emfile);
        assert_eq!(UnixListener::bind(unix_name("none")).expect_err("none").kind(), emfile);
        assert_eq!(punctual::net::UdpSocket::bind("127.0.0.1:0").expect_err("none").kind(), emfile);
        let acceptor = listener.clone();
        let accepting = spawn(async move { acceptor.accept().await });
        while listener.exhaustions() < 3 {
            sleep(MS).await;
        }
        assert!(!accepting.is_finished(), "it backs off");
        hoard.clear();
        let (server, _) = accepting.await.expect("no panic").expect("a descriptor is left");
        drop((client, server));
        for _ in 0..1_000 {
            let client = UnixStream::connect(&address).await.expect("connected");
            let (server, _) = listener.accept().await.expect("accepted");
            let (left, _right) = UnixDatagram::pair().expect("a pair");
            left.set_read_deadline(Some(Instant::now())).expect("open");
            left.recv(&mut [0; 1]).await.expect_err("expired");
            drop((client, server));
        }
        assert_eq!(open(), before, "every descriptor is closed");
    });
    assert_baseline(&runtime);
}
