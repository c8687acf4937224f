//! Requests: what is sent, how a body that takes its time is bounded, what is asked before it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use punctual::http::client::RequestBody;
use punctual::http::{Client, Timeouts};
use punctual::net::{Kind, Phase};
use punctual::{PhaseEnding, Sleep, sleep};
use punctual_tests_http::peer::http2::Http2;
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, since};

const BOUND: Duration = Duration::from_millis(80);

fn ok(connection: &mut Connection) -> std::io::Result<()> {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

/// Parts of a body, each after a pause; the last may be a failure, or never come.
struct Parts {
    left: usize,
    pause: Duration,
    then: Then,
    sleep: Option<Sleep>,
    // What is not `Send` may be sent all the same, as it is not sent anywhere.
    _here: std::rc::Rc<()>,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    /// After one more pause, and with nothing that belongs to it.
    EndLater,
    Fail,
    Hang,
}

fn parts(left: usize, pause: Duration, then: Then) -> RequestBody {
    RequestBody::stream(Parts { left, pause, then, sleep: None, _here: std::rc::Rc::default() })
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        use std::future::Future;
        if self.left == 0 {
            return match self.then {
                Then::End => Poll::Ready(None),
                Then::EndLater => {
                    let pause = self.pause;
                    Pin::new(self.sleep.get_or_insert_with(|| sleep(pause))).poll(cx).map(|()| None)
                }
                Then::Fail => Poll::Ready(Some(Err(std::io::Error::other("no more paper")))),
                Then::Hang => Poll::Pending,
            };
        }
        let pause = self.pause;
        let waiting = self.sleep.get_or_insert_with(|| sleep(pause));
        if Pin::new(waiting).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part;")))))
    }
}

#[test]
fn a_request_is_what_was_asked_for_and_credentials_are_nowhere_else() {
    let peer = Peer::start(|_, connection| {
        loop {
            connection.request()?;
            ok(connection)?;
        }
    });
    on_runtime("request", async |_| {
        let client = Client::new();
        let port = peer.address.port();
        let url = format!("http://Aladdin:open%20sesame@127.0.0.1:{port}/a%20b?c=d#e");
        let response = client.post(&url).header("x-a", "b").body("hello").send().await.expect("ok");
        let shown = format!("http://127.0.0.1:{port}/a%20b?c=d");
        assert_eq!(response.timeline().hops[0].url, shown);
        assert!(!format!("{response:?} {:?}", response.timeline()).contains("sesame"));
        response.bytes(9).await.expect("ok");
        let request = peer.requests().remove(0);
        assert_eq!((request.method(), request.target()), ("POST", "/a%20b?c=d"));
        assert_eq!(request.body, b"hello");
        assert_eq!(request.header("host"), Some(&*format!("127.0.0.1:{port}")));
        assert_eq!(request.header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(request.header("user-agent"), Some("punctual/0.1.0"));
        assert_eq!(request.header("content-length"), Some("5"));
        assert_eq!(request.header("x-a"), Some("b"));
        client.get(peer.url("/")).send().await.expect("ok").bytes(9).await.expect("ok");
        assert_eq!(peer.requests()[1].header("content-length"), None);
    });
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    on_runtime("refused", async |_| {
        let client = Client::new();
        for url in ["", "/relative", "ftp://u:secret@h/", "http://u:secret@h:99999/"] {
            let error = client.get(url).send().await.expect_err(url);
            assert_eq!((error.kind(), error.phase()), (Kind::InvalidInput, Phase::Request), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let error = client.get("http://h/").header("a b", "c").send().await.expect_err("no name");
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        assert_eq!(client.metrics().dials, 0);
    });
}

#[test]
fn the_timeline_agrees_with_another_clock() {
    let pause = 30 * MS;
    let peer = Peer::start(move |_, connection| {
        connection.request()?;
        connection.pause(pause);
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")?;
        connection.pause(pause);
        connection.send("k")?;
        connection.ended()
    });
    on_runtime("timeline", async |_| {
        let client = Client::new();
        let began = now_ns();
        let mut response = client.get(peer.url("/")).send().await.expect("a response");
        use http_body_util::BodyExt;
        while let Some(frame) = response.body().frame().await {
            frame.expect("a part");
        }
        let took = since(began);
        let timeline = response.timeline();
        let hop = &timeline.hops[0];
        let phases: Vec<_> = hop.phases.iter().map(|phase| phase.phase).collect();
        assert_eq!(phases, [Phase::Connect, Phase::Request, Phase::FirstByte, Phase::Body]);
        assert!(hop.phases.iter().all(|phase| phase.ending == Some(PhaseEnding::Done)), "{hop:?}");
        let sum: Duration = hop.phases.iter().map(|phase| phase.took).sum();
        assert!(sum <= timeline.took() && timeline.took() <= took, "{sum:?}, {timeline:?}, {took:?}");
        assert!(hop.phases.is_sorted_by_key(|phase| phase.began));
        assert!(hop.phases.windows(2).all(|two| two[0].end() <= two[1].began), "{hop:?}");
        let of = |phase| hop.phases.iter().find(|time| time.phase == phase).expect("it is there");
        // The kernel's sleep of the peer is not longer for us than for it, but begins earlier.
        assert!(of(Phase::FirstByte).took >= pause / 2, "{hop:?}");
        assert!(of(Phase::Body).took >= pause / 2, "{hop:?}");
        assert_eq!((hop.body_bytes, hop.status, hop.version), (2, Some(200), Some("HTTP/1.1")));
        assert_eq!(of(Phase::FirstByte).budget, Duration::from_secs(30));
        let defaults = Timeouts::default();
        assert_eq!(timeline.total, defaults.get_total());
        assert!(of(Phase::Body).budget < defaults.get_total());
    });
}

#[test]
fn a_body_that_takes_its_time_is_not_stalled_and_first_byte_counts_from_its_end() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        ok(connection)?;
        connection.ended()
    });
    on_runtime("streaming", async |_| {
        let client = Client::new();
        // Longer than both bounds in all, shorter between two parts.
        let body = parts(6, BOUND / 2, Then::End);
        let timeouts = Timeouts::new().request_write(BOUND).first_byte(BOUND);
        let sent = client.post(peer.url("/")).body(body).timeouts(timeouts).send();
        let response = sent.await.expect("a response");
        assert_eq!(peer.requests()[0].body, b"part;".repeat(6));
        response.bytes(9).await.expect("ok");
    });
}

#[test]
fn first_byte_counts_from_an_end_that_comes_long_after_the_last_part_too() {
    for http2 in [false, true] {
        let peer = Peer::start(move |_, connection| {
            if http2 {
                let mut http2 = Http2::begin(connection, &[])?;
                let (stream, _) = http2.request_whole()?;
                http2.connection.pause(BOUND * 3 / 4);
                http2.respond(stream, b"ok")?;
                return http2.ended();
            }
            for _ in 0..2 {
                connection.request()?;
                connection.pause(BOUND * 3 / 4);
                ok(connection)?;
            }
            connection.ended()
        });
        on_runtime("late end", async |_| {
            let client = Client::builder();
            let client = if http2 { client.http2_prior_knowledge() } else { client }.build();
            let timeouts = Timeouts::new().request_write(BOUND).first_byte(BOUND);
            let body = parts(1, BOUND * 3 / 4, Then::EndLater);
            let sent = client.post(peer.url("/")).body(body).timeouts(timeouts).send().await;
            let response = sent.unwrap_or_else(|error| panic!("HTTP/2: {http2}: {error}"));
            response.bytes(9).await.expect("ok");
            if !http2 {
                let response = client.get(peer.url("/")).send().await.expect("it has been sent whole");
                response.bytes(9).await.expect("ok");
            }
        });
        assert_eq!(peer.connections(), 1, "which is used again");
    }
}

#[test]
fn a_body_that_hangs_leaves_first_byte_to_count_from_its_last_part() {
    let peer = Peer::start(|_, connection| connection.ended());
    on_runtime("hanging", async |_| {
        let client = Client::new();
        let began = now_ns();
        let body = parts(2, BOUND / 2, Then::Hang);
        let timeouts = Timeouts::new().request_write(Duration::from_secs(5)).first_byte(BOUND);
        let sent = client.post(peer.url("/")).body(body).timeouts(timeouts).send();
        let error = sent.await.expect_err("nobody answers");
        assert_passed(began, 2 * BOUND);
        assert!(since(began) < Duration::from_secs(3), "the time to write it does not count: {error}");
        assert!(error.is_timeout() && error.phase() == Phase::FirstByte, "{error}");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.budget(), info.description()), (Some(BOUND), Some("first_byte timeout")));
    });
}

#[test]
fn a_body_that_fails_is_the_request_s_failure_and_closes_the_connection() {
    let peer = Peer::start(|_, connection| connection.ended());
    on_runtime("failing", async |_| {
        let client = Client::new();
        let sent = client.post(peer.url("/")).body(parts(2, MS, Then::Fail)).send();
        let error = sent.await.expect_err("it fails");
        assert_eq!(error.phase(), Phase::Request, "{error}");
        assert!(error.to_string().contains("no more paper"), "{error}");
        assert!(!error.is_retry_safe() && client.metrics().idle == 0);
    });
}

#[test]
fn an_early_response_is_given_while_the_body_is_still_sent() {
    let peer = Peer::start(|_, connection| {
        connection.head()?;
        connection.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")?;
        connection.ended()
    });
    on_runtime("early", async |_| {
        let client = Client::new();
        let sent = client.post(peer.url("/")).body(parts(10_000, MS, Then::Hang)).send();
        let response = sent.await.expect("a response");
        assert_eq!(response.status(), 413);
        assert_eq!(response.text(9).await.expect("a body"), "no");
        assert_eq!(client.metrics().idle, 0, "its request never ends");
        let began = now_ns();
        while client.metrics().in_use > 0 {
            assert!(since(began) < Duration::from_secs(5), "nobody wants the rest of it");
            sleep(MS).await;
        }
    });
}

/// What the server does with the head of a request that expects `100-continue`; what the body is then, and what comes of it.
fn expecting(
    answer: impl Fn(&mut Connection) -> std::io::Result<()> + Send + Sync + 'static,
) -> (Duration, u16, Vec<u8>) {
    let peer = Peer::start(move |_, connection| {
        let mut request = connection.head()?;
        answer(connection)?;
        connection.body(&mut request)?;
        connection.note(String::from_utf8_lossy(&request.body));
        ok(connection)?;
        connection.ended()
    });
    on_runtime("p15", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.put(peer.url("/")).header("expect", "100-continue").body("body").send();
        let response = sent.await.expect("a response");
        let took = since(began);
        let status = response.status().as_u16();
        response.bytes(9).await.expect("a body");
        drop(client);
        let noted = peer.seen().into_iter().find_map(|seen| match seen.what {
            punctual_tests_http::peer::What::Note(note) => Some(note.into_bytes()),
            _ => None,
        });
        (took, status, noted.unwrap_or_default())
    })
}

#[test]
fn p15_a_body_is_sent_when_it_is_asked_for_or_nobody_says_anything() {
    let second = Duration::from_secs(1);
    let asked = expecting(|connection| {
        connection.pause(50 * MS);
        connection.send("HTTP/1.1 100 Continue\r\n\r\n")
    });
    assert!(asked.0 >= 50 * MS && asked.0 < second, "{asked:?}");
    assert_eq!((asked.1, &asked.2[..]), (200, &b"body"[..]));
    let silent = expecting(|_| Ok(()));
    assert!(silent.0 >= second, "{silent:?}");
    assert_eq!((silent.1, &silent.2[..]), (200, &b"body"[..]));
    let hinted = expecting(|connection| connection.send("HTTP/1.1 103 Early Hints\r\n\r\n"));
    assert!(hinted.0 >= second, "another interim response does not ask for it: {hinted:?}");
    let refused = expecting(|connection| {
        connection.send("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n")?;
        connection.ended()?;
        Err(std::io::ErrorKind::BrokenPipe.into())
    });
    assert_eq!((refused.1, &refused.2[..]), (417, &b""[..]));
    assert!(refused.0 < second, "{refused:?}");
}

#[test]
fn p11_more_than_five_interim_responses_are_an_error() {
    for (number, fine) in [(5, true), (6, false), (100, false)] {
        let peer = Peer::start(move |_, connection| {
            connection.request()?;
            for _ in 0..number {
                connection.send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")?;
            }
            ok(connection)?;
            connection.ended()
        });
        on_runtime("p11", async |_| {
            let client = Client::new();
            let sent = client.get(peer.url("/")).send().await;
            assert_eq!(sent.is_ok(), fine, "{number}: {sent:?}");
            if let Err(error) = sent {
                assert_eq!((error.kind(), error.phase()), (Kind::LimitExceeded, Phase::FirstByte));
            }
        });
    }
}
