//! The proxy itself, seen by blocking sockets: a rig that does nothing would prove nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use punctual_tests_stress::proxy::{Fault, FaultProxy, Faults, KINDS};
use punctual_tests_stress::rig::MS;

const LONG: Duration = Duration::from_secs(30);

/// A connection through a proxy with these faults: the client's end, the server's, and what else is there.
fn through(faults: Faults) -> (TcpStream, TcpStream, FaultProxy, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let proxy = FaultProxy::start(&[address], move |_| faults);
    let client = TcpStream::connect(proxy.addresses()[0]).expect("connected");
    let (server, _) = listener.accept().expect("the proxy connects");
    for end in [&client, &server] {
        end.set_read_timeout(Some(LONG)).expect("set");
    }
    (client, server, proxy, listener)
}

fn on_responses(fault: Fault) -> (TcpStream, TcpStream, FaultProxy) {
    let (client, server, proxy, _) = through(Faults { responses: fault, ..Faults::NONE });
    (client, server, proxy)
}

fn count(proxy: &FaultProxy, kind: &str) -> u64 {
    proxy.done().into_iter().find_map(|(name, count)| (name == kind).then_some(count)).expect("known")
}

fn response(length: usize) -> Vec<u8> {
    (0..length).map(|at| at as u8).collect()
}

/// Reads to the end, or to what breaks it.
fn read_all(mut from: &TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut read = Vec::new();
    let broke = from.read_to_end(&mut read).err().map(|error| error.kind());
    (read, broke)
}

#[test]
fn b05_without_a_fault_nothing_is_changed() {
    let (client, mut server, proxy) = on_responses(Fault::None);
    server.write_all(&response(100_000)).expect("sent");
    server.shutdown(Shutdown::Write).expect("open");
    assert_eq!(read_all(&client), (response(100_000), None));
    client.shutdown(Shutdown::Write).expect("open");
    assert_eq!(read_all(&server), (Vec::new(), None));
    assert_eq!(count(&proxy, "none"), 1);
}

#[test]
fn b05_it_delays_and_trickles() {
    let (mut client, mut server, proxy) = on_responses(Fault::Delay(50 * MS));
    let began = Instant::now();
    server.write_all(&response(1_000)).expect("sent");
    client.read_exact(&mut [0; 1_000]).expect("it comes");
    assert!(began.elapsed() >= 50 * MS);
    assert_eq!(count(&proxy, "delay"), 1);

    let (mut client, mut server, proxy) = on_responses(Fault::Trickle(3 * MS));
    let began = Instant::now();
    server.write_all(&response(640)).expect("sent");
    let (mut read, mut reads) = (0, 0);
    while read < 640 {
        read += client.read(&mut [0; 640]).expect("it comes");
        reads += 1;
    }
    assert!(reads >= 3 && began.elapsed() >= 27 * MS, "{reads} reads in {:?}", began.elapsed());
    assert_eq!(count(&proxy, "trickle"), 1);
}

#[test]
fn b05_it_stalls_until_it_heals() {
    let (mut client, mut server, proxy) = on_responses(Fault::Stall(300));
    server.write_all(&response(1_000)).expect("sent");
    client.read_exact(&mut [0; 300]).expect("so much comes");
    client.set_read_timeout(Some(50 * MS)).expect("set");
    let stalled = client.read(&mut [0; 1]).expect_err("and no more");
    assert_eq!(stalled.kind(), ErrorKind::WouldBlock);
    proxy.heal();
    client.set_read_timeout(Some(LONG)).expect("set");
    let mut rest = [0; 700];
    client.read_exact(&mut rest).expect("the rest");
    assert_eq!(rest, response(1_000)[300..]);
    assert_eq!(count(&proxy, "stall"), 1);
}

#[test]
fn b05_it_resets_half_closes_and_corrupts() {
    let (client, mut server, proxy) = on_responses(Fault::Reset(300));
    server.write_all(&response(1_000)).expect("sent");
    let (read, broke) = read_all(&client);
    assert!(read.len() <= 300 && response(300).starts_with(&read), "{} bytes", read.len());
    assert_eq!(broke, Some(ErrorKind::ConnectionReset));
    assert_eq!(count(&proxy, "reset"), 1);

    let (mut client, mut server, proxy) = on_responses(Fault::HalfClose(300));
    server.write_all(&response(1_000)).expect("sent");
    assert_eq!(read_all(&client), (response(300), None));
    client.write_all(b"still").expect("the other direction stands");
    server.read_exact(&mut [0; 5]).expect("it comes");
    assert_eq!(count(&proxy, "half-close"), 1);

    let (client, mut server, proxy) = on_responses(Fault::Corrupt(300));
    server.write_all(&response(1_000)).expect("sent");
    server.shutdown(Shutdown::Write).expect("open");
    let (read, broke) = read_all(&client);
    let wrong: Vec<_> = (0..1_000).filter(|&at| read[at] != at as u8).collect();
    assert_eq!((wrong, broke), (vec![300], None));
    assert_eq!(count(&proxy, "corrupt"), 1);
}

#[test]
fn b05_it_connects_twice_for_one_client() {
    let (mut client, first, proxy, listener) = through(Faults { duplicate: true, ..Faults::NONE });
    let (second, _) = listener.accept().expect("another one");
    client.write_all(b"hello").expect("sent");
    // One of them hears it, the other nothing.
    let mut heard = 0;
    for end in [&first, &second] {
        end.set_read_timeout(Some(200 * MS)).expect("set");
        heard += (&mut &*end).read(&mut [0; 5]).unwrap_or(0);
    }
    assert_eq!(heard, 5);
    assert_eq!(count(&proxy, "duplicate"), 1);
    // With the client both end.
    drop(client);
    first.set_read_timeout(Some(LONG)).expect("set");
    assert_eq!(read_all(&first), (Vec::new(), None));
    drop(first);
    second.set_read_timeout(Some(LONG)).expect("set");
    assert!(read_all(&second).0.is_empty());
}

#[test]
fn b05_silence_ends_and_nothing_is_lost() {
    let (mut client, mut server, proxy) = on_responses(Fault::None);
    proxy.set_silent(true);
    server.write_all(&response(40_000)).expect("the kernel takes it");
    client.set_read_timeout(Some(30 * MS)).expect("set");
    assert_eq!(client.read(&mut [0; 1]).expect_err("silence").kind(), ErrorKind::WouldBlock);
    proxy.set_silent(false);
    client.set_read_timeout(Some(LONG)).expect("set");
    let mut all = vec![0; 40_000];
    client.read_exact(&mut all).expect("all of it");
    assert_eq!(all, response(40_000));
}

#[test]
fn b05_a_seed_draws_every_kind_and_the_same_ones_again() {
    let client = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from_bits(0x7f01_0000 + n), 9));
    let drawn: Vec<Faults> = (0..1_000).map(|n| Faults::drawn(7, client(n))).collect();
    assert_eq!(drawn, (0..1_000).map(|n| Faults::drawn(7, client(n))).collect::<Vec<_>>());
    assert_ne!(drawn, (0..1_000).map(|n| Faults::drawn(8, client(n))).collect::<Vec<_>>());
    let others = SocketAddr::new(client(1).ip(), 10);
    assert_eq!(Faults::drawn(7, others), drawn[1], "ports do not count");
    for kind in KINDS {
        let of_kind = drawn.iter().filter(|faults| match kind {
            "none" => **faults == Faults::NONE,
            "duplicate" => faults.duplicate,
            _ => faults.any(|fault| fault.kind() == kind && fault != Fault::None),
        });
        let count = of_kind.count();
        assert!(count >= 30, "{kind}: {count} of 1000");
    }
}
