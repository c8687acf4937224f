//! HTTP/2: by prior knowledge and over TLS, by an ordinary client and by the frame.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use punctual::http::{Body, HttpService, Limits, ServerTimeouts, service_fn};
use punctual::net::hyper::http2_client;
use punctual::net::{TcpListener, TcpStream};
use punctual::spawn;
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::peer::http2::Frame;
use punctual_tests_http::rig::{on_runtime, since};

use crate::rig::{MS, Raw, Served, assert_served, now, serve};

const SHORT: Duration = Duration::from_millis(150);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GET / HTTP/2` of authority `a`, in HPACK: indexed and literal fields without a table (RFC 7541, section 6).
fn get_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x01, 0x01, b'a', 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block
}

fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    Frame::new(0x1, flags, stream, block).encoded()
}

async fn handler(request: Request<Body>) -> Result<Response<String>, Infallible> {
    match request.uri().path() {
        "/never" => std::future::pending().await,
        "/large" => return Ok(Response::new("x".repeat(1 << 20))),
        "/later" => punctual::sleep(20 * MS).await,
        _ => {}
    }
    let alpn = request.body().info().tls();
    let alpn = alpn.and_then(|tls| tls.alpn.clone()).unwrap_or_default();
    Ok(Response::new(format!("{:?} {}", request.version(), String::from_utf8_lossy(&alpn))))
}

fn run(
    what: &'static str,
    change: impl FnOnce(&mut ServerTimeouts),
    clients: impl FnOnce(SocketAddr) + Send + 'static,
) -> Served {
    let mut timeouts = ServerTimeouts::default();
    change(&mut timeouts);
    serve(what, timeouts, Limits::default(), || service_fn(handler), clients)
}

/// A client by the frame, past the settings.
fn begin(address: SocketAddr) -> Raw {
    let mut client = Raw::connect(address);
    client
        .say(PREFACE)
        .say(Frame::new(0x4, 0, 0, []).encoded())
        .say(Frame::new(0x4, 1, 0, []).encoded());
    client
}

/// The kinds of the frames that come until the server ends, and the codes of GOAWAY.
fn frames(client: &mut Raw) -> (Vec<u8>, Vec<u32>) {
    let mut all = Vec::new();
    // A reset ends it too.
    let _ = client.stream.read_to_end(&mut all);
    let (mut kinds, mut codes, mut rest) = (Vec::new(), Vec::new(), &all[..]);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let Some(payload) = rest.get(9..9 + length) else { break };
        kinds.push(rest[3]);
        if rest[3] == 0x7 {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().expect("four")));
        }
        rest = &rest[9 + length..];
    }
    (kinds, codes)
}

async fn fetch<S: HttpService>(service: S, tls: bool, alpn: &[&str]) -> (u16, String) {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut serve = punctual::http::serve(listener, service);
    if tls {
        serve = serve.tls(authority.localhost().acceptor());
    }
    let drainer = serve.drainer();
    let serving = spawn(serve.into_future());
    let stream = TcpStream::connect(address).await.expect("connected");
    let uri = format!("http://localhost:{}/", address.port());
    let answer = if tls {
        let connector = authority.connector().alpn(alpn);
        let stream = connector.connect(stream, "localhost").await.expect("shaken");
        exchange(stream, &uri, alpn.contains(&"h2")).await
    } else {
        exchange(stream, &uri, true).await
    };
    drainer.drain(Duration::from_secs(1));
    serving.await.expect("no panic").expect("no error");
    answer
}

async fn exchange<I>(io: I, uri: &str, http2: bool) -> (u16, String)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let request = Request::builder().uri(uri).header("host", "localhost").body(Empty::<Bytes>::new());
    let request = request.expect("a request");
    let response = if http2 {
        let (mut sender, connection) = http2_client().handshake(io).await.expect("settings");
        drop(spawn(connection));
        sender.send_request(request).await
    } else {
        let (mut sender, connection) =
            punctual::net::hyper::http1_client().handshake(io).await.expect("ready");
        drop(spawn(connection));
        sender.send_request(request).await
    };
    let response = response.expect("answered");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("all of it").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[test]
fn p00_http2_is_spoken_with_those_who_know_beforehand() {
    let answer = on_runtime("prior knowledge", async |_| fetch(service_fn(handler), false, &[]).await);
    assert_eq!(answer, (200, "HTTP/2.0 ".to_owned()));
}

#[test]
fn p00_over_tls_the_version_is_the_one_agreed_on() {
    let over = |alpn: &'static [&'static str]| {
        on_runtime("alpn", async move |_| fetch(service_fn(handler), true, alpn).await)
    };
    assert_eq!(over(&["h2", "http/1.1"]), (200, "HTTP/2.0 h2".to_owned()));
    assert_eq!(over(&["http/1.1"]), (200, "HTTP/1.1 http/1.1".to_owned()));
    assert_eq!(over(&[]), (200, "HTTP/1.1 ".to_owned()));
}

/// All that come at once are answered, each once: those that wait, those that need not, and more than are begun in one poll of
/// their connection.
#[test]
fn p09_requests_that_come_at_once_are_all_answered_whether_they_wait_or_not() {
    let served = run(
        "h2 at once",
        |_| {},
        |address| {
            let mut client = begin(address);
            let paths = ["/", "/later", "/"];
            let streams = 60;
            let asked: Vec<u8> = (0..streams)
                .flat_map(|at| headers(2 * at + 1, 0x5, &get_block(paths[at as usize % paths.len()])))
                .collect();
            let began = now();
            client.say(asked);
            let mut answered = Vec::new();
            let mut rest = Vec::new();
            while answered.len() < streams as usize {
                let mut room = [0; 4096];
                let bytes = client.stream.read(&mut room).expect("more");
                assert!(bytes > 0, "it ended after {answered:?}");
                rest.extend_from_slice(&room[..bytes]);
                while rest.len() >= 9 {
                    let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
                    if rest.len() < 9 + length {
                        break;
                    }
                    if rest[3] == 0x1 {
                        answered.push(u32::from_be_bytes(rest[5..9].try_into().expect("four")));
                    }
                    rest.drain(..9 + length);
                }
            }
            assert!(since(began) >= 20 * MS, "{:?}", since(began));
            answered.sort_unstable();
            assert_eq!(answered, (0..streams).map(|at| 2 * at + 1).collect::<Vec<_>>());
        },
    );
    assert!(served.events.is_empty(), "{:?}", served.events);
}

#[test]
fn p05_a_request_that_is_never_answered_is_reset_and_the_others_go_on() {
    let served = run(
        "h2 total",
        |t| t.total = SHORT,
        |address| {
            let mut client = begin(address);
            client.say(headers(1, 0x5, &get_block("/never")));
            // The connection lives: a second request on it is answered after the first was reset.
            std::thread::sleep(2 * SHORT);
            client.say(headers(3, 0x5, &get_block("/")));
            std::thread::sleep(50 * MS);
            client.say(Frame::new(0x7, 0, 0, [0; 8]).encoded());
            let (kinds, _) = frames(&mut client);
            assert!(kinds.contains(&0x3), "no RST_STREAM: {kinds:?}");
            assert!(kinds.contains(&0x1), "no response: {kinds:?}");
            client.assert_older_than(SHORT);
            assert_served(address);
        },
    );
    assert_eq!(served.timeouts("request-total"), 1, "{:?}", served.phases);
    assert_eq!(served.event("http.server.request.timeout"), 1, "{:?}", served.events);
}

#[test]
fn p04_a_stream_without_a_window_is_reset_at_the_write_stall() {
    let served = run(
        "h2 stall",
        |t| t.write_stall = SHORT,
        |address| {
            let mut client = Raw::connect(address);
            // INITIAL_WINDOW_SIZE of 0: nothing may ever be sent.
            let settings = Frame::new(0x4, 0, 0, [0, 4, 0, 0, 0, 0]).encoded();
            client.say(PREFACE).say(settings).say(Frame::new(0x4, 1, 0, []).encoded());
            let began = now();
            client.say(headers(1, 0x5, &get_block("/large")));
            let mut seen = Vec::new();
            let mut room = [0; 4096];
            // RST_STREAM of stream 1.
            while !seen.windows(9).any(|frame| frame[3] == 0x3 && frame[8] == 1 && frame[2] == 4) {
                let read = client.stream.read(&mut room).expect("more");
                assert!(read > 0, "closed without a reset");
                seen.extend_from_slice(&room[..read]);
            }
            assert!(since(began) >= SHORT, "early: {:?}", since(began));
            assert_served(address);
        },
    );
    assert_eq!(served.timeouts("response-write"), 1, "{:?}", served.phases);
}

#[test]
fn p02_headers_that_never_end_are_closed_in_their_time() {
    let served = run(
        "h2 headers",
        |t| t.header = 2 * SHORT,
        |address| {
            let mut client = begin(address);
            // No END_HEADERS: CONTINUATION is to follow, and never does.
            client.say(headers(1, 0x1, &get_block("/")));
            frames(&mut client);
            client.assert_older_than(2 * SHORT);
            assert_served(address);
        },
    );
    assert_eq!(served.timeouts("request-header"), 1, "{:?}", served.phases);
}

#[test]
fn p02_with_no_request_open_it_is_closed_at_the_keep_alive() {
    let served = run(
        "h2 idle",
        |t| t.keep_alive = SHORT,
        |address| {
            let mut client = begin(address);
            let began = now();
            client.say(headers(1, 0x5, &get_block("/")));
            frames(&mut client);
            assert!(since(began) >= SHORT, "early: {:?}", since(began));
        },
    );
    assert_eq!(served.timeouts("keep-alive"), 1, "{:?}", served.phases);
}

#[test]
fn p02_a_client_that_answers_no_ping_is_closed() {
    let change = |t: &mut ServerTimeouts| {
        t.ping_interval = SHORT;
        t.ping_timeout = SHORT;
    };
    run("h2 ping", change, |address| {
        let mut client = begin(address);
        client.say(headers(1, 0x5, &get_block("/never")));
        let (kinds, _) = frames(&mut client);
        assert!(kinds.contains(&0x6), "no PING: {kinds:?}");
        client.assert_older_than(2 * SHORT);
        assert_served(address);
    });
}

/// What is flooded with `frame` many times ends with GOAWAY, and others are served.
fn assert_floods_end(what: &'static str, flood: impl Fn(u32) -> Vec<u8> + Send + 'static) {
    run(
        what,
        |_| (),
        move |address| {
            let mut client = begin(address);
            for turn in 0..20_000 {
                if std::io::Write::write_all(&mut client.stream, &flood(turn)).is_err() {
                    break;
                }
            }
            let (_, codes) = frames(&mut client);
            assert!(!codes.contains(&0), "{what}: {codes:?}");
            assert!(client.age() < Duration::from_secs(10), "{what}: {:?}", client.age());
            assert_served(address);
        },
    );
}

#[test]
fn p08_floods_of_http2_end_the_connection() {
    // CVE-2023-44487: requests that are reset as they are sent.
    assert_floods_end("rapid reset", |turn| {
        let stream = 2 * turn + 1;
        let mut both = headers(stream, 0x5, &get_block("/never"));
        both.extend(Frame::new(0x3, 0, stream, [0, 0, 0, 8]).encoded());
        both
    });
    // CVE-2024-27316 and its kin: a header block that never ends.
    assert_floods_end("continuation", |turn| match turn {
        0 => headers(1, 0x1, &get_block("/")),
        _ => Frame::new(0x9, 0, 1, [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x07][..], &[b'y'; 1024]].concat())
            .encoded(),
    });
    // RUSTSEC-2024-0003: errors that have us reset streams.
    assert_floods_end("error resets", |turn| {
        let stream = 2 * turn + 1;
        let mut both = headers(stream, 0x4, &get_block("/"));
        both.extend(Frame::new(0x8, 0, stream, [0, 0, 0, 0]).encoded());
        both
    });
}

#[test]
fn p08_more_streams_than_are_allowed_are_refused_and_memory_is_bounded() {
    run(
        "streams",
        |_| (),
        |address| {
            let mut client = begin(address);
            for stream in 0..300 {
                client.say(headers(2 * stream + 1, 0x5, &get_block("/never")));
            }
            let mut room = [0; 16 * 1024];
            let mut seen = Vec::new();
            while seen.windows(9).filter(|f| f[..5] == [0, 0, 4, 3, 0]).count() < 300 - 128 {
                let read = client.stream.read(&mut room).expect("more");
                assert!(read > 0, "closed");
                seen.extend_from_slice(&room[..read]);
            }
            assert_served(address);
        },
    );
}

#[test]
fn p06_a_client_that_resets_its_request_has_the_handler_dropped() {
    struct Dropped(Rc<std::cell::Cell<bool>>, std::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
            let _ = self.1.send(());
        }
    }
    let (told, hears) = std::sync::mpsc::channel();
    let service = move || {
        let flag = Rc::<std::cell::Cell<bool>>::default();
        service_fn(move |request: Request<Body>| {
            let guard = Dropped(flag.clone(), told.clone());
            async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                drop(guard);
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        })
    };
    serve("h2 reset", ServerTimeouts::default(), Limits::default(), service, move |address| {
        let mut client = begin(address);
        client.say(headers(1, 0x5, &get_block("/never")));
        assert!(hears.recv_timeout(100 * MS).is_err(), "it is not dropped before it is reset");
        client.say(Frame::new(0x3, 0, 1, [0, 0, 0, 8]).encoded());
        hears.recv_timeout(Duration::from_secs(10)).expect("dropped");
        // Of HTTP/1.1 the same when the connection is reset; one that is closed may only be half closed.
        let mut client = Raw::connect(address);
        client.say("GET /never HTTP/1.1\r\nhost: test\r\n\r\n");
        assert!(hears.recv_timeout(100 * MS).is_err(), "it is not dropped before it is given up");
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(client);
        hears.recv_timeout(Duration::from_secs(10)).expect("dropped");
    });
}
