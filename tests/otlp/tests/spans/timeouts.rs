//! Every timeout is one event, in the span of its phase, with all that is known of it.

use std::net::SocketAddr;
use std::time::Duration;

use punctual::net::phase::Bounds;
use punctual::net::{Connect, DnsFailure, Error, Phase, Resolver, TcpListener, TcpStream, UdpSocket};
use punctual::{Instant, spawn};

use crate::collector::{Event, Span, Trace, traced, unix_now_ns};
use crate::peers::{StallingOverTcp, dead_name_server, deaf_listener, serve, serve_and_stall};

const MS: Duration = Duration::from_millis(1);

/// What each event says of its timeout: `error` is what the caller was told.
fn assert_told(trace: &Trace, event: &Event, error: &Error, armed_after_ns: u64, budget: Duration) {
    let info = error.deadline().expect("a timeout");
    let fields = &event.fields;
    assert!(error.is_timeout());
    assert_eq!(fields.text("phase"), error.phase().as_str());
    assert_eq!(fields.text("target"), "punctual::phase");
    assert_eq!(fields.duration("budget_ms"), budget);
    assert_eq!(fields.duration("elapsed_ms"), info.elapsed().expect("it began"));
    assert!(fields.duration("elapsed_ms") >= budget, "early");
    assert_eq!(fields.whole("late_us"), (info.lateness().as_nanos() as u64).div_ceil(1000));
    assert_eq!(fields.text("deadline_kind"), "own");
    let set_at = info.location().expect("set in this file").to_string();
    assert_eq!(fields.text("deadline_set_at"), set_at);
    assert!(set_at.contains("timeouts.rs"), "{set_at}");
    assert_eq!(fields.text("error"), error.to_string());
    // By the test's own clock.
    let passed = Duration::from_nanos(event.at_ns - armed_after_ns);
    assert!(passed >= budget, "told of {passed:?} after it was begun, of {budget:?}");
    assert!(event.at_ns <= trace.ended_ns);
}

fn assert_failed(span: &Span, error: &Error, outcome: &str) {
    assert!(span.failed, "{span:?}");
    assert_eq!(span.fields.text("outcome"), outcome);
    assert_eq!(span.fields.text("error"), error.to_string());
    assert_eq!(span.fields.text("diagnosis"), error.diagnosis().expect("a reason").to_string());
}

/// The field of this name is when it began: after it was armed, and long enough before it was told of.
fn assert_began(event: &Event, field: &str, armed_after_ns: u64, budget: Duration) {
    let armed_us = armed_after_ns / 1000;
    let latest_us = (event.at_ns - budget.as_nanos() as u64).div_ceil(1000);
    let began_us = event.fields.whole(field);
    assert!((armed_us..=latest_us).contains(&began_us), "{began_us}: {armed_us}..={latest_us}");
}

#[test]
fn o3_dns_resolve_timeout() {
    let budget = 150 * MS;
    let (_server, address) = dead_name_server();
    let (mut told, mut armed_after_ns) = (None, 0);
    let trace = traced(async || {
        let resolver = Resolver::builder().servers([address]).build();
        armed_after_ns = unix_now_ns();
        let connect = Connect::to("silent.test:80").resolver(&resolver).name("checkout");
        told = connect.timeout(budget).connect().await.err();
    });
    let error = told.expect("nobody answers");
    let (resolve, event) = trace.only_timeout("dns.resolve.timeout", "resolve");
    assert!(resolve.is_child_of(trace.only("caller")));
    assert_told(&trace, event, &error, armed_after_ns, budget);
    assert_failed(resolve, &error, "timeout-own");
    assert_eq!(event.fields.text("deadline_name"), "checkout");
    assert_eq!(event.fields.text("endpoint"), "silent.test:80");
    assert_eq!(event.fields.text("diagnosis"), error.diagnosis().expect("a reason").to_string());
    assert!(event.fields.text("diagnosis").contains(&address.to_string()));
    // The lookup is all that was done of the connect.
    let (whole, lookup) =
        (event.fields.duration("elapsed_ms"), event.fields.duration("dns_duration_ms"));
    assert!(lookup <= whole && lookup * 2 > whole, "{lookup:?} of {whole:?}");
    assert_eq!(resolve.fields.text("host"), "silent.test");
    assert_eq!(resolve.fields.text("servers"), format!("[{address}]"));
    assert_eq!(resolve.fields.whole("queries"), 2);
    assert_eq!(trace.named("connect").count(), 0);
}

#[test]
fn o3_the_cap_of_a_lookup_is_told_as_one() {
    let cap = 60 * MS;
    let (_server, address) = dead_name_server();
    let mut told = None;
    let trace = traced(async || {
        let resolver = Resolver::builder().servers([address]).build();
        let connect = Connect::to("silent.test:80").resolver(&resolver).name("checkout");
        told = connect.resolve_timeout(cap).connect().await.err();
    });
    let error = told.expect("nobody answers");
    let (resolve, event) = trace.only_timeout("dns.resolve.timeout", "resolve");
    assert_failed(resolve, &error, "timeout-cap");
    assert_eq!(event.fields.text("deadline_kind"), "cap");
    assert_eq!(event.fields.text("deadline_name"), "resolve cap of checkout");
    assert_eq!(event.fields.duration("budget_ms"), cap);
}

#[test]
fn o3_tries_within_a_lookup_are_no_timeouts_of_their_own() {
    let server = StallingOverTcp::start();
    let mut told = None;
    let trace = traced(async || {
        let resolver = Resolver::builder().servers([server.address]).search([""; 0]);
        let resolver = resolver.try_timeout(40 * MS).attempts(1).build();
        told = Connect::to("long.test:80").resolver(&resolver).connect().await.err();
        assert_eq!(resolver.metrics().queries_over_tcp, 2, "both families");
    });
    assert_eq!(told.expect("it stalls").dns_failure(), Some(DnsFailure::NoAnswer));
    assert!(trace.timeouts().is_empty(), "{:?}", trace.timeouts());
    assert_eq!(trace.only("resolve").fields.text("outcome"), "failed");
    assert_eq!(trace.spans.len(), 2, "the caller's and the lookup's: {:?}", trace.spans);
}

#[test]
fn o3_tcp_connect_timeout() {
    let budget = 80 * MS;
    let (mut told, mut armed_after_ns, mut peer) = (None, 0, None);
    let trace = traced(async || {
        let (_deaf, address, _filler) = deaf_listener();
        peer = Some(address);
        armed_after_ns = unix_now_ns();
        told = Connect::to(address).name("checkout").timeout(budget).connect().await.err();
    });
    let (error, peer) = (told.expect("nobody accepts"), peer.expect("it ran").to_string());
    let (connect, event) = trace.only_timeout("tcp.connect.timeout", "connect");
    assert!(connect.is_child_of(trace.only("caller")));
    assert_told(&trace, event, &error, armed_after_ns, budget);
    assert_failed(connect, &error, "timeout-own");
    assert_eq!(event.fields.text("deadline_name"), "checkout");
    assert_eq!(event.fields.text("peer"), peer);
    assert_eq!(event.fields.text("diagnosis"), "no SYN-ACK after 1 SYN");
    assert_began(event, "connect_start_ts", armed_after_ns, budget);
    assert_eq!(connect.fields.whole("attempts"), 1);
    assert!(connect.duration() * 2 > budget, "{connect:?}");
    let attempt = trace.only("connect_attempt");
    assert!(attempt.is_child_of(connect) && attempt.failed && attempt.events.is_empty());
    assert_eq!(attempt.fields.text("peer"), peer);
    assert_eq!(attempt.fields.text("outcome"), "timeout-own");
}

#[test]
fn o3_read_timeout() {
    let budget = 60 * MS;
    let (mut told, mut armed_after_ns) = (None, 0);
    let (address, server) = serve_and_stall(b"", b"");
    let trace = traced(async || {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_read_timeout(Some(budget)).expect("open");
        armed_after_ns = unix_now_ns();
        told = stream.read(&mut [0; 8]).await.err();
    });
    server.join().expect("no panic");
    let error = told.expect("it says nothing");
    let (_, event) = trace.only_timeout("read.timeout", "caller");
    assert_eq!(event.fields.text("deadline_kind"), "idle");
    assert_eq!(event.fields.text("peer"), address.to_string());
    assert_eq!(event.fields.whole("transferred_bytes"), 0);
    assert!(event.fields.text("diagnosis").starts_with("peer silent for "));
    assert_eq!(event.fields.text("error"), error.to_string());
    assert_eq!(event.fields.duration("budget_ms"), budget);
    assert!(event.at_ns - armed_after_ns >= budget.as_nanos() as u64, "early");
}

#[test]
fn o3_write_timeout() {
    let budget = 60 * MS;
    let (mut told, mut armed_after_ns) = (None, 0);
    let trace = traced(async || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let accepting = spawn(async move { listener.accept().await });
        let stream = TcpStream::connect(address).await.expect("connected");
        let _does_not_read = accepting.await.expect("no panic").expect("accepted");
        stream.set_write_timeout(Some(budget)).expect("open");
        armed_after_ns = unix_now_ns();
        told = stream.write_all(&vec![0; 64 << 20]).await.err();
    });
    let error = told.expect("nobody reads");
    let (_, event) = trace.only_timeout("write.timeout", "caller");
    assert_told(&trace, event, &error, armed_after_ns, budget);
    assert!(error.transferred() > 0);
    assert_eq!(event.fields.whole("transferred_bytes"), error.transferred());
    assert_eq!(event.fields.text("diagnosis"), error.diagnosis().expect("a reason").to_string());
}

#[test]
fn o3_an_absolute_deadline_and_an_accept_and_a_datagram_are_told_too() {
    let mut told = Vec::new();
    let trace = traced(async || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_deadline(Some(Instant::now() + 20 * MS)).expect("open");
        told.extend(listener.accept().await.err());
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_deadline(Some(Instant::now() + 20 * MS)).expect("open");
        told.extend(socket.recv(&mut [0; 8]).await.err());
        // It has passed: the next is not even begun, and told of all the same.
        told.extend(socket.recv(&mut [0; 8]).await.err());
    });
    let events = trace.timeouts();
    let names: Vec<_> = events.iter().map(|(_, event)| event.name.as_str()).collect();
    assert_eq!(names, ["accept.timeout", "read.timeout", "read.timeout"]);
    for ((_, event), error) in events.iter().zip(&told) {
        assert!(!event.fields.has("budget_ms"), "there is none: {event:?}");
        assert_eq!(event.fields.text("error"), error.to_string());
        assert_eq!(event.fields.text("deadline_kind"), "own");
    }
    assert_eq!(events[2].1.fields.text("diagnosis"), "it was not begun");
    assert_eq!(events[2].1.fields.whole("late_us"), 0);
}

/// Runs `phase` against a server that takes `request`, says `response` and stalls; returns when it was armed.
fn stalls(
    phase: Phase,
    budget: Duration,
    request: &'static [u8],
    response: &'static [u8],
) -> (Trace, Error, u64, SocketAddr) {
    let (address, server) = serve_and_stall(request, response);
    let (mut told, mut armed_after_ns) = (None, 0);
    let trace = traced(async || {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(request).await.expect("sent");
        stream.read_exact(&mut vec![0; response.len()]).await.expect("that much comes");
        armed_after_ns = unix_now_ns();
        let bounds = Bounds::of(phase).timeout(budget).name("checkout").endpoint("pay").stream(&stream);
        told = bounds.run(stream.read(&mut [0; 8])).await.err();
    });
    server.join().expect("no panic");
    (trace, told.expect("it stalls"), armed_after_ns, address)
}

#[test]
fn l01_p01_each_phase_of_a_protocol_ends_by_its_own_name() {
    type Bytes = &'static [u8];
    let cases: [(Phase, &str, &str, Bytes, Bytes); 4] = [
        (Phase::Tls, "tls", "tls.handshake.timeout", b"\x16\x03\x01", b""),
        (Phase::FirstByte, "first_byte", "http.first_byte.timeout", b"GET / HTTP/1.1\r\n\r\n", b""),
        (Phase::GrpcHeader, "first_byte", "grpc.header.timeout", b"PRI * HTTP/2.0\r\n\r\n", b""),
        (Phase::Body, "body", "http.body.timeout", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    ];
    for (phase, span, name, request, response) in cases {
        let budget = 60 * MS;
        let (trace, error, armed_after_ns, address) = stalls(phase, budget, request, response);
        assert_eq!((error.phase(), phase.timeout_event(), phase.span_name()), (phase, name, span));
        let (within, event) = trace.only_timeout(name, span);
        assert!(within.is_child_of(trace.only("caller")));
        assert_told(&trace, event, &error, armed_after_ns, budget);
        assert_failed(within, &error, "timeout-own");
        for fields in [&within.fields, &event.fields] {
            assert_eq!(fields.text("deadline_name"), "checkout");
            assert_eq!(fields.text("endpoint"), "pay");
        }
        assert_eq!(event.fields.text("peer"), address.to_string());
        assert!(event.fields.text("diagnosis").starts_with("peer silent for "), "{event:?}");
        assert_eq!(event.fields.has("header_recv_ts"), phase == Phase::GrpcHeader);
        if phase == Phase::GrpcHeader {
            assert_began(event, "header_recv_ts", armed_after_ns, budget);
        }
    }
}

#[test]
fn p01_a_request_that_nobody_takes() {
    let (address, server) = serve(|stream| {
        // It does not read until the client has gone.
        let mut all = Vec::new();
        let _ = std::io::Read::read(stream, &mut [0]);
        std::thread::park_timeout(300 * MS);
        let _ = std::io::Read::read_to_end(stream, &mut all);
    });
    let budget = 60 * MS;
    let (mut told, mut armed_after_ns) = (None, 0);
    let trace = traced(async || {
        let stream = TcpStream::connect(address).await.expect("connected");
        let all = vec![0; 64 << 20];
        armed_after_ns = unix_now_ns();
        let bounds = Bounds::of(Phase::Request).timeout(budget).stream(&stream);
        told = bounds.run(stream.write_all(&all)).await.err();
        drop(stream);
    });
    server.join().expect("no panic");
    let error = told.expect("nobody reads");
    let (request, event) = trace.only_timeout("http.request.timeout", "request");
    assert_told(&trace, event, &error, armed_after_ns, budget);
    assert_failed(request, &error, "timeout-own");
}
