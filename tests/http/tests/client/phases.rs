//! Each phase's stall ends at its own deadline, with its own name.

use std::time::Duration;

use punctual::http::{Client, Timeline, Timeouts};
use punctual::net::{Error, Phase, TcpOptions};
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

const BOUND: Duration = Duration::from_millis(80);

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    let long = Duration::from_secs(8);
    Timeouts::new().connect(long).request_write(long).first_byte(long).body_idle(long).total(2 * long)
}

#[track_caller]
fn ended_by(error: &Error, phase: Phase, what: &str) {
    assert!(error.is_timeout() && error.phase() == phase, "{error}");
    let info = error.deadline().expect("a deadline");
    assert_eq!(info.budget(), Some(BOUND), "{error}");
    assert_eq!(info.description(), Some(what), "{error}");
    assert!(info.location().is_some_and(|at| at.file().ends_with("phases.rs")), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

fn ok(connection: &mut Connection) -> std::io::Result<()> {
    connection.request()?;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

#[test]
fn p01_header_stall_ends_at_first_byte_and_requests_before_and_after_are_fine() {
    let peer = Peer::start(|number, connection| match number {
        1 => {
            connection.request()?;
            connection.drip("HTTP/1.1 200 OK\r\nx: 0123456789012345678901234567890123456789", 1, 10 * MS)
        }
        _ => ok(connection),
    });
    on_runtime("p01", async |_| {
        let client = Client::new();
        for number in 0..3 {
            let began = now_ns();
            let timeouts = patient().first_byte(BOUND);
            let sent = client.get(peer.url("/")).timeouts(timeouts).send().await;
            if number == 1 {
                let error = sent.expect_err("the head never ends");
                assert_passed(began, BOUND);
                ended_by(&error, Phase::FirstByte, "first_byte timeout");
                assert!(error.diagnosis().is_some(), "{error}");
                println!("{error}");
            } else {
                assert_eq!(sent.expect("a response").text(10).await.expect("a body"), "ok");
            }
        }
        drop(client);
    });
}

#[test]
fn resolve_ends_at_its_own_deadline() {
    // A name server that says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let server = silent.local_addr().expect("its address");
    on_runtime("resolve", async |_| {
        let resolver = punctual::net::Resolver::builder().servers([server]).build();
        let client = Client::builder().resolver(&resolver).build();
        let began = now_ns();
        let timeouts = patient().resolve(BOUND);
        let sent = client.get("http://name.test/").timeouts(timeouts).send();
        let error = sent.await.expect_err("nobody answers");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Resolve, "{error}");
        assert_eq!(error.deadline().and_then(|info| info.budget()), Some(BOUND), "{error}");
        let timeline = error.timeline().expect("of a request");
        assert_eq!(phases_of(timeline), [Phase::Resolve]);
        println!("{error}");
    });
}

#[test]
fn connect_ends_at_its_own_deadline() {
    // Its queue holds one connection, which nobody accepts: the next SYN is not answered.
    let deaf =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    deaf.listen(0).expect("listening");
    let address = deaf.local_addr().expect("its name").as_socket().expect("of IPv4");
    let _filler = std::net::TcpStream::connect(address).expect("the one that fits");
    on_runtime("connect", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(format!("http://{address}/")).timeouts(patient().connect(BOUND)).send();
        let error = sent.await.expect_err("nobody answers");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Connect, "{error}");
        assert_eq!(error.deadline().and_then(|info| info.budget()), Some(BOUND), "{error}");
        assert!(error.to_string().contains("no SYN-ACK"), "{error}");
        assert!(error.is_retry_safe());
        assert_eq!(phases_of(error.timeline().expect("of a request")), [Phase::Connect]);
        println!("{error}");
    });
}

#[test]
fn tls_ends_at_its_own_deadline() {
    let peer = Peer::start(|_, connection| connection.ended());
    on_runtime("tls", async |_| {
        let client = Client::new();
        let began = now_ns();
        let url = format!("https://{}/", peer.address);
        let sent = client.get(url).timeouts(patient().tls(BOUND)).send();
        let error = sent.await.expect_err("it does not shake hands");
        assert_passed(began, BOUND);
        ended_by(&error, Phase::Tls, "tls timeout");
        assert_eq!(phases_of(error.timeline().expect("of a request")), [Phase::Connect, Phase::Tls]);
        // The connect's time is over earlier: then it is named.
        let began = now_ns();
        let url = format!("https://{}/", peer.address);
        let sent = client.get(url).timeouts(patient().connect(BOUND)).send();
        let error = sent.await.expect_err("it does not shake hands");
        assert_passed(began, BOUND);
        ended_by(&error, Phase::Tls, "connect timeout");
        println!("{error}");
    });
}

#[test]
fn request_write_ends_at_its_own_deadline_and_a_drip_does_not_extend_it() {
    let peer = Peer::start(|_, connection| {
        socket2::SockRef::from(&connection.stream).set_recv_buffer_size(4096)?;
        connection.head()?;
        // Some of it now and then: less than 64 KiB in the time that there is for them.
        for _ in 0..60 {
            let mut some = [0; 2048];
            std::io::Read::read_exact(&mut connection.stream, &mut some)?;
            connection.pause(5 * MS);
        }
        Ok(())
    });
    on_runtime("request_write", async |_| {
        let options = TcpOptions::new().send_buffer(8 * 1024);
        let client = Client::builder().options(options).build();
        let began = now_ns();
        let body = vec![7_u8; 1 << 20];
        let sent = client.post(peer.url("/")).body(body).timeouts(patient().request_write(BOUND)).send();
        let error = sent.await.expect_err("it is not taken");
        assert_passed(began, BOUND);
        ended_by(&error, Phase::Request, "request_write timeout");
        assert_eq!(phases_of(error.timeline().expect("of a request")), [Phase::Connect, Phase::Request]);
        println!("{error}");
    });
}

#[test]
fn total_ends_whatever_is_under_way_and_is_named() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.ended()
    });
    on_runtime("total", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient()).timeout(BOUND).send();
        let error = sent.await.expect_err("it says nothing");
        assert_passed(began, BOUND);
        ended_by(&error, Phase::FirstByte, "total timeout");
        println!("{error}");
    });
}

#[test]
fn a_scope_that_ends_earlier_is_named() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.ended()
    });
    on_runtime("scope", async |_| {
        let client = Client::new();
        let began = now_ns();
        let error = punctual::scope("checkout", BOUND, async |_| {
            client.get(peer.url("/")).timeouts(patient()).send().await.expect_err("it says nothing")
        });
        let error = match error.await {
            Ok(error) => error,
            Err(ended) => ended.into_value().expect("the error"),
        };
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::FirstByte, "{error}");
        assert_eq!(error.deadline().and_then(|info| info.scope()), Some("checkout"), "{error}");
        println!("{error}");
    });
}

fn phases_of(timeline: &Timeline) -> Vec<Phase> {
    timeline.hops.iter().flat_map(|hop| &hop.phases).map(|phase| phase.phase).collect()
}
