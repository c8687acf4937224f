//! How requests end that do not end well, and what is left of them: timeouts and cancels in the body, one total over
//! redirects, a server that is asked first.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use punctual::http::{Client, Timeouts};
use punctual::net::{Kind, Phase};
use punctual::{Scope, scope, sleep, spawn, yield_now};
use punctual_tests_http::peer::{Peer, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, since};

const BOUND: Duration = Duration::from_millis(80);
const LONG: Duration = Duration::from_secs(8);

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    Timeouts::new().connect(LONG).request_write(LONG).first_byte(LONG).body_idle(LONG).total(2 * LONG)
}

/// On each connection one request whose body stalls after 5 of 10 bytes; then it waits for the client's end.
fn stalls() -> Peer {
    Peer::start(|_, connection| {
        if connection.request()?.target() == "/fine" {
            return connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")?;
        connection.ended()
    })
}

/// A task outside of the scope, so that it is not what the scope waits for.
fn cancel_later(scope: &Scope, cause: &'static str) {
    let canceller = scope.canceller();
    drop(spawn(async move {
        sleep(BOUND).await;
        canceller.cancel(cause).expect("the loop is there");
    }));
}

async fn is_fine(client: &Client, peer: &Peer) {
    let response = client.get(peer.url("/fine")).timeouts(patient()).send().await.expect("a response");
    assert_eq!(response.text(10).await.expect("a body"), "fine");
}

#[test]
fn p05_total_deadline_mid_body_closes_the_connection_for_good() {
    let peer = stalls();
    on_runtime("p05", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient().total(BOUND)).send().await;
        let mut body = sent.expect("it has begun").into_body();
        let first = body.frame().await.expect("a part").expect("5 bytes").into_data().expect("data");
        assert_eq!(first, "01234");
        let error = body.frame().await.expect("an end").expect_err("it stalls");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert_eq!(error.deadline().and_then(|info| info.budget()), Some(BOUND), "{error}");
        assert!(error.to_string().contains("total timeout"), "{error}");
        assert_eq!(error.transferred(), 5, "{error}");
        assert!(body.frame().await.is_none(), "it has ended, once");
        // The body is still held: it is not its end that closes the connection.
        while !peer.seen().iter().any(|seen| matches!(seen.what, What::Closed | What::Reset)) {
            sleep(MS).await;
            assert!(since(began) < LONG, "the server does not see the end");
        }
        is_fine(&client, &peer).await;
    });
    assert_eq!(peer.connections(), 2, "not used again");
}

#[test]
fn p05_a_stalled_body_ends_by_its_own_idle_time_and_says_so() {
    let peer = stalls();
    on_runtime("p05", async |_| {
        let client = Client::new();
        let sent = client.get(peer.url("/")).timeouts(patient().body_idle(BOUND)).send().await;
        let response = sent.expect("it has begun");
        let began = now_ns();
        let error = response.bytes(100).await.expect_err("it stalls");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert!(error.to_string().contains("body_idle timeout"), "{error}");
        is_fine(&client, &peer).await;
    });
    assert_eq!(peer.connections(), 2, "not used again");
}

#[test]
fn p06_a_cancel_mid_body_is_a_cancel_and_what_came_before_is_delivered() {
    let peer = stalls();
    on_runtime("p06", async |_| {
        let client = Client::new();
        let hour = Duration::from_secs(3_600);
        let cause = "nobody wants it any more";
        let ended = scope("the caller", LONG, async |scope| {
            let timeouts = Timeouts::new().body_idle(hour).total(hour);
            let sent = client.get(peer.url("/")).timeouts(timeouts).send().await;
            let mut body = sent.expect("it has begun").into_body();
            let first = body.frame().await.expect("a part").expect("5 bytes").into_data().expect("data");
            cancel_later(scope, cause);
            let end = body.frame().await.expect("an end").expect_err("it was cancelled");
            (first, end)
        })
        .await;
        let (got, error) = ended.expect("the body has told");
        assert_eq!(got, "01234");
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
        assert!(!error.is_timeout() && error.to_string().contains(cause), "{error}");
        is_fine(&client, &peer).await;
    });
    assert_eq!(peer.connections(), 2, "not used again");
}

#[test]
fn p06_a_cancel_while_the_head_is_waited_for_is_a_cancel_too() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.ended()
    });
    on_runtime("p06", async |_| {
        let client = Client::new();
        let ended = scope("the caller", LONG, async |scope| {
            cancel_later(scope, "enough");
            client.get(peer.url("/")).send().await.expect_err("it was cancelled")
        })
        .await;
        let error = ended.expect("the request has told");
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    });
    peer.wait_for(|seen| matches!(seen.what, What::Closed | What::Reset));
}

#[test]
fn p07_a_timer_is_gone_after_success_and_an_idle_connection_is_left_alone() {
    let peer = Peer::start(|_, connection| {
        loop {
            connection.request()?;
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")?;
        }
    });
    on_runtime("p07", async |runtime| {
        let client = Client::new();
        for _ in 0..3 {
            let times =
                Timeouts::new().request_write(BOUND).first_byte(BOUND).body_idle(BOUND).total(BOUND);
            let sent = client.get(peer.url("/")).timeouts(times).send().await;
            assert_eq!(sent.expect("a response").text(10).await.expect("a body"), "fine");
            let before = runtime.metrics();
            // All of these times pass over the idle connection.
            sleep(2 * BOUND).await;
            let after = runtime.metrics();
            assert_eq!(after.drift.early, 0);
            let fired = after.fired - before.fired;
            assert_eq!(fired, 1, "nothing fired but this test's own sleep: {before:?}");
        }
    });
    assert_eq!(peer.connections(), 1, "it was used again each time");
}

#[test]
fn p16_redirects_share_one_total() {
    // Each hop takes less than the total, all of them more.
    let peer = Peer::start(|_, connection| {
        loop {
            let request = connection.request()?;
            connection.pause(BOUND / 4);
            let hop: usize = request.target()[1..].parse().unwrap_or(0);
            connection.send(format!(
                "HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n",
                hop + 1
            ))?;
        }
    });
    on_runtime("p16", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(peer.url("/0")).timeouts(patient().total(BOUND)).send().await;
        let error = sent.expect_err("it goes on for longer than that");
        assert_passed(began, BOUND);
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.deadline().and_then(|info| info.budget()), Some(BOUND), "{error}");
        assert!(error.to_string().contains("total timeout"), "{error}");
        let timeline = error.timeline().expect("where the time went");
        assert!(timeline.hops.len() >= 2, "{timeline:?}");
        assert!(timeline.hops.len() <= 5, "{timeline:?}");
        assert_eq!(timeline.total, BOUND);
    });
}

#[test]
fn p16_what_is_left_of_the_total_bounds_the_body_of_the_last_hop() {
    let peer = Peer::start(|_, connection| {
        loop {
            if connection.request()?.target() == "/" {
                connection.pause(BOUND / 2);
                connection.send("HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n")?;
            } else {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")?;
            }
        }
    });
    on_runtime("p16", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient().total(BOUND)).send().await;
        let error = sent.expect("the head comes in time").bytes(100).await.expect_err("it stalls");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert_eq!(error.timeline().map(|timeline| timeline.hops.len()), Some(2), "{error}");
    });
}

/// What a server does that is asked first, and what is to become of it.
struct Asked {
    name: &'static str,
    /// Sent after the head.
    says: &'static [u8],
    /// How long it then waits before it reads on.
    body: bool,
    status: u16,
}

#[test]
fn p15_a_server_that_is_asked_first_gets_the_body_when_it_wants_it() {
    // Go's TestTransportExpect100Continue, and one more: a server that never says anything of it.
    let rows: [Asked; 6] = [
        Asked { name: "continue", says: b"HTTP/1.1 100 Continue\r\n\r\n", body: true, status: 200 },
        Asked {
            name: "continue, with headers",
            says: b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n",
            body: true,
            status: 200,
        },
        Asked { name: "silence", says: b"", body: true, status: 200 },
        Asked {
            name: "refused",
            says: b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
            body: false,
            status: 417,
        },
        Asked {
            name: "unauthorised",
            says: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            body: false,
            status: 401,
        },
        Asked {
            name: "hints first",
            says: b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
            body: true,
            status: 200,
        },
    ];
    for row in rows {
        let Asked { name, says, body, status } = row;
        let peer = Peer::start(move |_, connection| {
            let mut request = connection.head()?;
            if request.header("expect") != Some("100-continue") {
                connection.note("it did not ask");
            }
            connection.send(says)?;
            if !body {
                return connection.ended();
            }
            connection.body(&mut request)?;
            connection.note(format!("a body of {}", request.body.len()));
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            connection.ended()
        });
        on_runtime("p15", async |_| {
            let client = Client::new();
            let began = now_ns();
            let request = client.post(peer.url("/")).header("expect", "100-continue").body("12345");
            let response = request.timeouts(patient()).send().await.expect(name);
            assert_eq!(response.status().as_u16(), status, "{name}");
            response.bytes(10).await.expect("a body");
            let silent = says.is_empty();
            assert_eq!(since(began) >= Duration::from_secs(1), silent, "{name}: {:?}", since(began));
        });
        let notes: Vec<What> = peer.seen().into_iter().map(|seen| seen.what).collect();
        assert_eq!(notes.contains(&What::Note("a body of 5".to_owned())), body, "{name}: {notes:?}");
        assert!(!notes.contains(&What::Note("it did not ask".to_owned())), "{name}");
        let sent_none =
            notes.iter().all(|what| !matches!(what, What::Request(request) if !request.body.is_empty()));
        assert!(sent_none, "{name}: {notes:?}");
    }
}

#[test]
fn p15_a_refused_body_is_not_sent_afterwards_as_another_request() {
    // The body looks like a request: if it were sent after the refusal, the server would see it.
    let peer = Peer::start(|_, connection| {
        connection.head()?;
        connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")?;
        while let Ok(request) = connection.head() {
            connection.note(format!("then {}", request.target()));
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")?;
        }
        Ok(())
    });
    on_runtime("p15", async |_| {
        let client = Client::new();
        for _ in 0..3 {
            let body = "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n";
            let request = client.post(peer.url("/")).header("expect", "100-continue").body(body);
            let response = request.timeouts(patient()).send().await.expect("an answer");
            if response.status() == StatusCode::EXPECTATION_FAILED {
                response.bytes(10).await.expect("a body");
            }
            let next = client.method(Method::GET, peer.url("/next")).timeouts(patient()).send().await;
            drop(next);
        }
    });
    assert!(!peer.seen().iter().any(|seen| seen.what == What::Note("then /secret".to_owned())));
}

/// What writes the opening of HTTP/2 does so in the scope of the request: what ends that, ends this. The scope is over after
/// any number of turns.
#[test]
fn p05_a_scope_that_ends_while_http2_is_begun_is_named() {
    let peer = Peer::start(|_, connection| connection.ended());
    on_runtime("p05 scope", async |_| {
        for (turns, cancels) in (0..12).flat_map(|turns| [(turns, false), (turns, true)]) {
            let client = Client::builder().timeouts(patient()).http2_prior_knowledge().build();
            let began = now_ns();
            let limit = if cancels { LONG } else { 4 * MS };
            let ended = scope("checkout", limit, async |scope| {
                let canceller = scope.canceller();
                let holds = spawn(async move {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    if cancels {
                        canceller.cancel("enough").expect("the loop is there");
                    }
                    // The connect is done by then.
                    std::thread::sleep(5 * MS);
                });
                let sent = client.get(peer.url("/")).send().await.map(drop);
                (sent, holds)
            });
            let (sent, holds) =
                ended.await.unwrap_or_else(|error| error.into_value().expect("its body returned"));
            let error = sent.expect_err("there is no answer");
            if cancels {
                let cause = error.cause().map(ToString::to_string);
                assert_eq!(cause.as_deref(), Some("enough"), "{turns}: {error}");
            } else {
                assert_passed(began, limit);
                let deadline = error.deadline().unwrap_or_else(|| panic!("{turns}: whose? {error}"));
                assert_eq!(deadline.scope(), Some("checkout"), "{turns}: {error}");
            }
            holds.await.expect("no panic");
        }
    });
}
