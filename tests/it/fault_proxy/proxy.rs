//! The proxy itself, seen by blocking sockets: a rig that does nothing would prove nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::MS;
use crate::support::fault_proxy::{Fault, FaultProxy};

/// A connection through a proxy with this fault on the responses: the client's end, the server's, and the proxy.
fn through(fault: Fault) -> (TcpStream, TcpStream, FaultProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let proxy = FaultProxy::start(address, Box::new(move |_| [Fault::None, fault]));
    let client = TcpStream::connect(proxy.address).expect("connected");
    let (server, _) = listener.accept().expect("the proxy connects");
    for end in [&client, &server] {
        end.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    }
    let local = client.local_addr().expect("its address");
    assert_eq!(proxy.faults_of(local), Some([Fault::None, fault]));
    (client, server, proxy)
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
fn b05_a_proxy_without_a_fault_changes_nothing() {
    let (client, mut server, _proxy) = through(Fault::None);
    server.write_all(&response(100_000)).expect("sent");
    server.shutdown(Shutdown::Write).expect("open");
    assert_eq!(read_all(&client), (response(100_000), None));
    client.shutdown(Shutdown::Write).expect("open");
    assert_eq!(read_all(&server), (Vec::new(), None));
}

#[test]
fn b05_a_proxy_delays_and_trickles() {
    let (mut client, mut server, _proxy) = through(Fault::Delay(50 * MS));
    let began = Instant::now();
    server.write_all(&response(1_000)).expect("sent");
    client.read_exact(&mut [0; 1_000]).expect("it comes");
    assert!(began.elapsed() >= 50 * MS);

    let (mut client, mut server, _proxy) = through(Fault::Trickle(MS));
    let began = Instant::now();
    server.write_all(&response(400)).expect("sent");
    let (mut read, mut reads) = (0, 0);
    while read < 400 {
        read += client.read(&mut [0; 400]).expect("it comes");
        reads += 1;
    }
    assert!(reads >= 5 && began.elapsed() >= 20 * MS, "{reads} reads in {:?}", began.elapsed());
}

#[test]
fn b05_a_proxy_stalls_until_it_heals() {
    let (mut client, mut server, proxy) = through(Fault::Stall(300));
    server.write_all(&response(1_000)).expect("sent");
    client.read_exact(&mut [0; 300]).expect("so much comes");
    client.set_read_timeout(Some(50 * MS)).expect("set");
    let stalled = client.read(&mut [0; 1]).expect_err("and no more");
    assert_eq!(stalled.kind(), ErrorKind::WouldBlock);
    proxy.heal();
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut rest = [0; 700];
    client.read_exact(&mut rest).expect("the rest");
    assert_eq!(rest, response(1_000)[300..]);
}

#[test]
fn b05_a_proxy_resets_half_closes_and_corrupts() {
    let (client, mut server, _proxy) = through(Fault::Reset(300));
    server.write_all(&response(1_000)).expect("sent");
    let (read, broke) = read_all(&client);
    assert!(read.len() <= 300 && response(300).starts_with(&read), "{} bytes", read.len());
    assert_eq!(broke, Some(ErrorKind::ConnectionReset));

    let (mut client, mut server, _proxy) = through(Fault::HalfClose(300));
    server.write_all(&response(1_000)).expect("sent");
    assert_eq!(read_all(&client), (response(300), None));
    client.write_all(b"still").expect("the other direction stands");
    server.read_exact(&mut [0; 5]).expect("it comes");

    let (client, mut server, _proxy) = through(Fault::Corrupt(300));
    server.write_all(&response(1_000)).expect("sent");
    server.shutdown(Shutdown::Write).expect("open");
    let (read, broke) = read_all(&client);
    let wrong: Vec<_> = (0..1_000).filter(|&at| read[at] != at as u8).collect();
    assert_eq!((wrong, broke), (vec![300], None));
}
