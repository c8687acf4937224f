//! However a phase ends, its span ends, and says how.

use std::future::{Future, pending};
use std::io;
use std::task::Poll;
use std::time::Duration;

use punctual::net::phase::Bounds;
use punctual::net::{Connect, Error, Kind, Phase, Resolver, TcpStream, phase};
use punctual::{PhaseEnding, TimeoutBy, phases, scope, timeout};

use crate::collector::traced;
use crate::peers::{dead_name_server, deaf_listener, serve_and_stall};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

async fn poll_once(future: impl Future) {
    let mut future = Box::pin(future);
    std::future::poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn what_is_dropped_ends_its_spans() {
    let (_server, address) = dead_name_server();
    let trace = traced(async || {
        let (_deaf, deaf, _filler) = deaf_listener();
        let resolver = Resolver::builder().servers([address]).build();
        poll_once(Connect::to("silent.test:80").resolver(&resolver).connect()).await;
        poll_once(Connect::to(deaf).connect()).await;
        poll_once(phase(Phase::FirstByte, LONG, pending::<Result<(), Error>>())).await;
        let dropped = |phase: Phase| {
            let records = phases();
            let of = records.iter().find(|record| record.phase == phase.as_str());
            of.map_or(0, |record| record.endings.count(PhaseEnding::Dropped))
        };
        for phase in [Phase::Resolve, Phase::Connect, Phase::FirstByte] {
            assert_eq!(dropped(phase), 1, "recorded of {phase}");
        }
    });
    for name in ["resolve", "connect", "connect_attempt", "first_byte"] {
        let span = trace.only(name);
        assert_eq!(span.fields.text("outcome"), "dropped");
        assert!(!span.failed && span.events.is_empty(), "{span:?}");
    }
}

#[test]
fn what_a_timeout_around_it_drops_is_told_as_its_timeout() {
    let budget = 30 * MS;
    let (_server, address) = dead_name_server();
    let guard = PhaseEnding::Timeout(TimeoutBy::Guard);
    let trace = traced(async || {
        let (_deaf, deaf, _filler) = deaf_listener();
        let resolver = Resolver::builder().servers([address]).build();
        let lookup = Connect::to("silent.test:80").resolver(&resolver).connect();
        timeout(budget, lookup).await.expect_err("no answer");
        timeout(budget, Connect::to(deaf).connect()).await.expect_err("no answer");
        timeout(budget, phase(Phase::Tls, LONG, Connect::to(deaf))).await.expect_err("no answer");
        // The phase tells of its own timeout, and what it drops tells nothing.
        phase(Phase::FirstByte, budget, Connect::to(deaf)).await.expect_err("no answer");
        let ended = |phase: Phase| {
            let records = phases();
            let of = records.iter().find(|record| record.phase == phase.as_str());
            of.map_or(0, |record| record.endings.count(guard))
        };
        let counts = [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::FirstByte].map(ended);
        assert_eq!(counts, [1, 3, 1, 0]);
    });
    let told: Vec<_> = trace
        .timeouts()
        .into_iter()
        .map(|(span, event)| {
            let elapsed = event.fields.duration("elapsed_ms");
            assert!(elapsed >= budget, "early: {elapsed:?}");
            assert!(span.failed);
            (event.name.as_str(), event.fields.text("deadline_kind"), span.fields.text("outcome"))
        })
        .collect();
    let expected = [
        ("dns.resolve.timeout", "guard", "timeout-guard"),
        ("tcp.connect.timeout", "guard", "timeout-guard"),
        ("tls.handshake.timeout", "guard", "timeout-guard"),
        ("http.first_byte.timeout", "own", "timeout-own"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_deadline_of_a_scope_is_told_by_the_phase_under_way() {
    let budget = 50 * MS;
    let (address, server) = serve_and_stall(b"", b"");
    let mut told = Vec::new();
    let trace = traced(async || {
        let stream = TcpStream::connect(address).await.expect("connected");
        let ended = scope("checkout", budget, async |_| {
            let bounds = Bounds::of(Phase::FirstByte).timeout(LONG).stream(&stream);
            told.extend(bounds.run(stream.read(&mut [0; 8])).await.err());
        });
        drop(ended.await);
        // The same around a stream's error of the standard library's type.
        let ended = scope("payment", budget, async |_| {
            let read = async { stream.read(&mut [0; 8]).await.map_err(io::Error::from) };
            let error = phase(Phase::Body, LONG, read).await.expect_err("it stalls");
            told.extend(Error::take_from_io(error).ok());
        });
        drop(ended.await);
    });
    server.join().expect("no panic");
    let timeouts = trace.timeouts();
    let expected = [
        ("first_byte", "http.first_byte.timeout", "checkout", Phase::FirstByte),
        ("body", "http.body.timeout", "payment", Phase::Body),
    ];
    assert_eq!(timeouts.len(), expected.len(), "{timeouts:?}");
    for (((span, event), error), (name, told, deadline, phase)) in
        timeouts.into_iter().zip(&told).zip(expected)
    {
        assert_eq!((span.name.as_str(), event.name.as_str()), (name, told));
        assert_eq!(event.fields.text("deadline_name"), deadline);
        assert_eq!(event.fields.text("deadline_kind"), "scope");
        assert_eq!(event.fields.duration("budget_ms"), budget);
        assert_eq!(span.fields.text("outcome"), "timeout-scope");
        assert_eq!((error.phase(), error.kind()), (phase, Kind::Timeout));
        assert_eq!(event.fields.text("error"), error.to_string());
    }
}

#[test]
fn a_streams_own_deadline_inside_a_phase_is_told_once_and_as_its_own() {
    let (address, server) = serve_and_stall(b"", b"");
    let trace = traced(async || {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_read_timeout(Some(30 * MS)).expect("open");
        let error = phase(Phase::Body, LONG, stream.read(&mut [0; 8])).await.expect_err("it stalls");
        assert_eq!((error.phase(), error.kind()), (Phase::Read, Kind::Timeout));
    });
    server.join().expect("no panic");
    let (body, event) = trace.only_timeout("read.timeout", "body");
    assert_eq!(event.fields.text("deadline_kind"), "idle");
    assert_eq!(body.fields.text("outcome"), "timeout-idle");
}

#[test]
fn cancels_failures_and_what_is_late_beforehand_are_told_apart() {
    let trace = traced(async || {
        let cancelled = scope("checkout", LONG, async |scope| {
            scope.cancel("the user left");
            phase(Phase::Tls, LONG, pending::<Result<(), Error>>()).await
        });
        let ended = cancelled.await.expect("it returned").expect_err("cancelled");
        assert_eq!((ended.phase(), ended.kind()), (Phase::Tls, Kind::Cancelled));
        let mine = io::Error::from_raw_os_error(104);
        let failed = phase(Phase::Request, LONG, async { Err::<(), _>(mine) }).await;
        assert_eq!(failed.expect_err("it fails").raw_os_error(), Some(104), "as it was");
        let polled = async { unreachable!("it is late before it begins") };
        let late: Result<(), Error> = phase(Phase::Body, Duration::ZERO, polled).await;
        let late = late.expect_err("late");
        assert!(late.deadline().is_some_and(|info| info.before_it_began()));
    });
    let outcome = |name| trace.only(name).fields.text("outcome").to_owned();
    assert_eq!(outcome("tls"), "cancelled");
    assert!(trace.only("tls").fields.text("error").contains("the user left"));
    assert_eq!(outcome("request"), "failed");
    assert_eq!(outcome("body"), "timeout-own");
    let (_, event) = trace.only_timeout("http.body.timeout", "body");
    assert_eq!(event.fields.text("diagnosis"), "it was not begun");
    assert_eq!(event.fields.duration("elapsed_ms"), Duration::ZERO);
}
