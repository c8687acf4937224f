//! What goes well: one tree of spans, in order, and no timeout.

use std::io::{Read, Write};
use std::time::Duration;

use punctual::net::phase::Bounds;
use punctual::net::{Connect, Error, Phase, Resolver, TcpStream, phase};
use punctual::{PhaseEnding, phases, sleep, spawn};
use tracing::Instrument;

use crate::collector::{Span, Trace, traced};
use crate::peers::{NameServer, closed_port, serve};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

/// Speaks a little protocol of its own over `stream`: a phase after the other.
async fn exchange(stream: &TcpStream) -> Result<(), Error> {
    let bounds = |phase| Bounds::of(phase).timeout(LONG).name("checkout").stream(stream);
    let handshake = async {
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut [0; 5]).await
    };
    bounds(Phase::Tls).run(handshake).await?;
    bounds(Phase::Request).run(stream.write_all(b"GET\n")).await?;
    bounds(Phase::FirstByte).run(stream.read_exact(&mut [0; 1])).await?;
    bounds(Phase::Body).run(stream.read_exact(&mut [0; 9])).await
}

/// Stalls for `pause` before the first byte, and again before the last of the body.
fn server(pause: Duration) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    serve(move |stream| {
        stream.read_exact(&mut [0; 5]).expect("a hello");
        stream.write_all(b"hello").expect("sent");
        stream.read_exact(&mut [0; 4]).expect("a request");
        std::thread::sleep(pause);
        stream.write_all(b"1234567").expect("sent");
        std::thread::sleep(pause * 2);
        stream.write_all(b"890").expect("sent");
    })
}

#[test]
fn a_request_is_one_waterfall_without_timeouts() {
    let pause = 40 * MS;
    let names = NameServer::start();
    let (address, serving) = server(pause);
    let trace = traced(async || {
        let resolver = Resolver::builder().servers([names.address]).search([""; 0]).build();
        let target = format!("upstream.test:{}", address.port());
        let stream = Connect::to(target).resolver(&resolver).timeout(LONG).await.expect("connected");
        exchange(&stream).await.expect("all goes well");
        let done = |phase: Phase| {
            let records = phases();
            let of = records.iter().find(|record| record.phase == phase.as_str());
            of.map_or(0, |record| record.endings.count(PhaseEnding::Done))
        };
        for phase in
            [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::FirstByte, Phase::Body]
        {
            assert_eq!(done(phase), 1, "recorded of {phase}");
        }
    });
    serving.join().expect("no panic");
    assert!(trace.timeouts().is_empty(), "{:?}", trace.timeouts());
    let caller = trace.only("caller");
    let order = ["resolve", "connect", "tls", "request", "first_byte", "body"];
    let spans = order.map(|name| trace.only(name));
    for span in spans {
        assert!(span.is_child_of(caller) && !span.failed, "{span:?}");
        assert_eq!(span.fields.text("outcome"), "done");
        assert_eq!(span.fields.text("target"), "punctual::phase");
        assert!(!span.fields.has("error") && !span.fields.has("diagnosis"), "{span:?}");
    }
    for pair in spans.windows(2) {
        assert!(pair[0].end_ns <= pair[1].start_ns, "{} and {}", pair[0].name, pair[1].name);
    }
    let [resolve, connect, _, _, first_byte, body] = spans;
    assert!(first_byte.duration() * 2 > pause, "the server waited {pause:?}: {first_byte:?}");
    assert!(body.duration() >= pause, "the server waited {:?}: {body:?}", pause * 2);
    assert_eq!(resolve.fields.text("host"), "upstream.test");
    assert_eq!(resolve.fields.text("addresses"), format!("[127.0.0.1:{}]", address.port()));
    assert_eq!(resolve.fields.whole("ipv4_count"), 1);
    assert_eq!(resolve.fields.whole("ipv6_count"), 0);
    assert!(!resolve.fields.truth("from_cache"));
    assert_eq!(resolve.fields.text("servers"), format!("[{}]", names.address));
    assert_eq!(connect.fields.text("peer"), address.to_string());
    assert_eq!(connect.fields.whole("addresses"), 1);
    let attempt = trace.only("connect_attempt");
    assert!(attempt.is_child_of(connect));
    assert!(connect.start_ns <= attempt.start_ns && attempt.end_ns <= connect.end_ns);
}

#[test]
fn each_who_shares_a_lookup_has_a_span_of_it_and_the_cache_is_told() {
    let names = NameServer::start();
    let trace = traced(async || {
        let resolver = Resolver::builder().servers([names.address]).search([""; 0]).build();
        let ask = |who: &'static str| {
            let resolver = resolver.clone();
            let asker = tracing::info_span!("asker", who, outcome = "done");
            let lookup = async move { resolver.lookup("shared.test").await.expect("an address") };
            spawn(lookup.instrument(asker))
        };
        let (one, other) = (ask("one"), ask("other"));
        assert_eq!(one.await.expect("no panic").ips().count(), 1);
        assert_eq!(other.await.expect("no panic").ips().count(), 1);
        assert_eq!(resolver.metrics().shared, 2, "both families");
        ask("third").await.expect("no panic");
    });
    let askers: Vec<&Span> = trace.named("asker").collect();
    let lookups: Vec<&Span> = trace.named("resolve").collect();
    assert_eq!((askers.len(), lookups.len()), (3, 3));
    for asker in &askers {
        let own: Vec<_> = lookups.iter().filter(|lookup| lookup.is_child_of(asker)).collect();
        assert_eq!(own.len(), 1, "{asker:?}");
        assert_eq!(own[0].fields.truth("from_cache"), asker.fields.text("who") == "third");
    }
}

#[test]
fn addresses_that_race_are_attempts_in_the_connect() {
    let (address, serving) = serve(|stream| {
        let _ = stream.read(&mut [0]);
    });
    let refused = closed_port();
    let trace = traced(async || {
        let connect = Connect::to(vec![refused, address]).before_connect(|_, _| {
            tracing::info!("a socket of this attempt");
            Ok(())
        });
        let stream = connect.await.expect("the second");
        assert_eq!(stream.peer_addr(), address);
    });
    serving.join().expect("no panic");
    let connect = trace.only("connect");
    assert_eq!(connect.fields.whole("attempts"), 2);
    assert_eq!(connect.fields.whole("addresses"), 2);
    assert_eq!(connect.fields.text("peer"), address.to_string());
    let mut attempts: Vec<&Span> = trace.named("connect_attempt").collect();
    attempts.sort_by_key(|attempt| attempt.fields.whole("attempt"));
    let ends: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.fields.text("peer").to_owned(), attempt.fields.text("outcome")))
        .collect();
    assert_eq!(ends, [(refused.to_string(), "kernel-error"), (address.to_string(), "done")]);
    for attempt in &attempts {
        assert!(attempt.is_child_of(connect));
        let events: Vec<_> = attempt.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(events, ["a socket of this attempt"], "what runs in it is within its span");
    }
    assert!(attempts[0].failed && !attempts[1].failed && !connect.failed);
    assert!(trace.timeouts().is_empty());
}

#[test]
fn a_span_of_ones_own_has_the_ends_it_asks_for() {
    let trace: Trace = traced(async || {
        let span = tracing::info_span!("upload", part = 7, outcome = tracing::field::Empty);
        let bounds = Bounds::of(Phase::Body).timeout(LONG).span(span);
        let upload = async {
            sleep(MS).await;
            Ok::<_, Error>(())
        };
        bounds.run(upload).await.expect("done");
        phase(Phase::Tls, LONG, async { Ok::<_, Error>(()) }).await.expect("done");
    });
    let upload = trace.only("upload");
    assert_eq!((upload.fields.whole("part"), upload.fields.text("outcome")), (7, "done"));
    assert_eq!(trace.named("body").count(), 0);
    assert!(trace.only("tls").is_child_of(trace.only("caller")));
}
