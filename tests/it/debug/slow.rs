//! Clients that are slow, on purpose or not: each is cut at its deadline, which no byte of theirs extends.

use super::*;

const BOUND: Duration = Duration::from_millis(150);
/// So long a client would go on if it were let.
const FOR_LONG: Duration = Duration::from_secs(20);

/// Sends a byte now and then until it is told to stop, or has sent bytes for very long; what it was told.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let began = now_ns();
    stream.set_read_timeout(Some(10 * MS)).expect("set");
    let mut heard = Vec::new();
    for byte in bytes.iter().cycle() {
        assert!(Duration::from_nanos(now_ns() - began) < FOR_LONG, "it was borne with");
        let gone = stream.write_all(&[*byte]).is_err();
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) if gone => break,
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    heard
}

fn at_least(bound: Duration, since_ns: u64) {
    let passed = Duration::from_nanos(now_ns() - since_ns);
    assert!(passed >= bound, "early: {passed:?} of {bound:?}");
}

/// Slowloris.
#[test]
fn headers_that_drip_are_cut_at_their_deadline() {
    served(
        "slowloris",
        |builder| builder.header_timeout(BOUND).idle_timeout(PATIENCE),
        |address| {
            let began = now_ns();
            let mut stream = connect(address);
            let heard = drip(&mut stream, b"GET / HTTP/1.1\r\nX: ");
            at_least(BOUND, began);
            let heard = parse(&heard);
            assert_eq!(heard.status, 408, "{heard:?}");
            assert!(heard.text().starts_with("The headers took too long"));
            assert_eq!(heard.header("content-length"), Some(&*heard.body.len().to_string()));
        },
    );
}

#[test]
fn one_that_says_nothing_is_cut_as_well() {
    served(
        "silent",
        |builder| builder.header_timeout(BOUND).idle_timeout(PATIENCE),
        |address| {
            let began = now_ns();
            let mut stream = connect(address);
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).expect("closed in order");
            at_least(BOUND, began);
            assert_eq!(parse(&heard).status, 408);
        },
    );
}

#[test]
fn the_second_request_has_a_deadline_of_its_own() {
    served(
        "second",
        |builder| builder.header_timeout(BOUND).idle_timeout(PATIENCE),
        |address| {
            let mut stream = connect(address);
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            stream.write_all(ask.as_bytes()).expect("sent");
            assert_eq!(read_one(&mut stream).status, 200);
            // Longer than a header may take: that is the time between two requests.
            std::thread::sleep(2 * BOUND);
            stream.write_all(ask.as_bytes()).expect("sent");
            assert_eq!(read_one(&mut stream).status, 200, "it was idle, not slow");
            let began = now_ns();
            let heard = drip(&mut stream, b"GET / HTTP/1.1\r\nX: ");
            at_least(BOUND, began);
            assert_eq!(parse(&heard).status, 408);
        },
    );
}

#[test]
fn one_that_is_idle_is_closed() {
    served(
        "idle",
        |builder| builder.idle_timeout(BOUND),
        |address| {
            let mut stream = connect(address);
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let began = now_ns();
            stream.write_all(ask.as_bytes()).expect("sent");
            assert_eq!(read_one(&mut stream).status, 200);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("closed in order");
            at_least(BOUND, began);
            assert!(rest.is_empty(), "{rest:?}");
        },
    );
}

/// Asks again and again and takes nothing of what comes; returns when the server has given it up.
async fn is_given_up(runtime: &Runtime, choose: impl Fn(Builder) -> Builder, takes: bool) {
    let server = choose(Server::builder()).bind("127.0.0.1:0").expect("bound");
    let endpoint = server.spawn();
    let address = endpoint.local_addr();
    let many: Vec<_> = (0..2000).map(|_| punctual::spawn(punctual::sleep(PATIENCE * 100))).collect();
    let client =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    client.set_recv_buffer_size(4096).expect("set");
    let began = now_ns();
    client.connect(&address.into()).expect("connected");
    let mut client: TcpStream = client.into();
    let ask = format!("GET /debug/waits HTTP/1.1\r\nHost: {address}\r\n\r\n").repeat(100);
    client.write_all(ask.as_bytes()).expect("there is room in the kernel");
    client.set_nonblocking(true).expect("set");
    while runtime.metrics().live_sources < 2 {
        punctual::sleep(MS).await;
    }
    while runtime.metrics().live_sources > 1 {
        assert!(Duration::from_nanos(now_ns() - began) < FOR_LONG, "it was borne with");
        if takes {
            // A little: never a stall.
            let _ = client.read(&mut [0; 512]);
        }
        punctual::sleep(MS).await;
    }
    at_least(BOUND, began);
    endpoint.stop().await.expect("it had not failed");
    for task in many {
        task.abort();
        let _ = task.await;
    }
}

#[test]
fn one_that_takes_nothing_is_cut() {
    on_alarms("stalled", async |runtime| {
        let choose = |builder: Builder| builder.stall_timeout(BOUND).answer_timeout(PATIENCE);
        is_given_up(runtime, choose, false).await;
    });
}

#[test]
fn one_that_takes_a_little_now_and_then_is_cut_at_the_end_of_its_answers_time() {
    on_alarms("sipping", async |runtime| {
        let choose = |builder: Builder| builder.stall_timeout(PATIENCE).answer_timeout(BOUND);
        is_given_up(runtime, choose, true).await;
    });
}
