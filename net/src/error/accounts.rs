//! Tests: what an error says when it is asked part by part.

use std::cell::Cell;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Cause, Failure, Firing, Instant, Runtime, TcpInfo, VirtualClock, scope, spawn};

use super::sentences::firing;
use super::{DeadlineInfo, Diagnosis, DnsFailure, Error, Kind, Phase, Why};
use crate::UnixStream;
use crate::io::{CopyOptions, copy_bidirectional};

const MS: Duration = Duration::from_millis(1);
const AT: Instant = Instant::from_nanos(9_000_000_000);

fn over() -> DeadlineInfo {
    DeadlineInfo::over(AT, AT + 3 * MS, 50 * MS, Location::caller())
}

#[test]
fn a_deadline_accounts_for_itself() {
    let here = Location::caller();
    let info = DeadlineInfo::over(AT, AT + 3 * MS, 50 * MS, here);
    assert_eq!((info.deadline(), info.fired(), info.budget()), (AT, AT + 3 * MS, Some(50 * MS)));
    assert_eq!((info.lateness(), info.elapsed()), (3 * MS, Some(53 * MS)));
    assert_eq!(info.location(), Some(here));
    assert_eq!((info.name(), info.scope(), info.description()), (None, None, None));
    assert!(!info.before_it_began() && info.firing().is_none() && info.held_up().is_zero());

    let began = DeadlineInfo { began: Some(AT - 7 * MS), ..over() };
    assert_eq!(began.elapsed(), Some(10 * MS), "it is known when it began: not a budget before the end");
    let neither = DeadlineInfo::new(AT, AT + MS);
    assert_eq!((neither.elapsed(), neither.budget(), neither.location()), (None, None, None));
    let past = DeadlineInfo { before_it_began: true, ..over() };
    assert_eq!((past.lateness(), past.elapsed()), (Duration::ZERO, Some(Duration::ZERO)));
    assert!(past.before_it_began());

    let late = firing([MS, 2 * MS, Duration::ZERO]);
    let held = DeadlineInfo { firing: Some(late), held_up: 4 * MS, ..over() };
    assert_eq!((held.firing().map(Firing::lateness), held.held_up()), (Some(3 * MS), 4 * MS));
}

#[test]
fn a_deadline_is_called_by_its_name_or_by_what_it_asked_for() {
    let named = DeadlineInfo { name: Some("upstream".into()), ..over() };
    assert_eq!((named.name(), named.scope()), (Some("upstream"), None));
    let of_scope = DeadlineInfo { of_scope: true, idle: true, ..named };
    assert_eq!((of_scope.name(), of_scope.scope()), (Some("upstream"), Some("upstream")));
    assert_eq!(of_scope.description(), None, "the scope's end is no idle timeout");
    let idle = DeadlineInfo { idle: true, ..over() };
    assert_eq!(idle.description(), Some("idle timeout"));
    assert_eq!(idle.described("half-close linger").description(), Some("half-close linger"));
    let around = DeadlineInfo::around(AT - 5 * MS, AT, AT + MS);
    assert_eq!((around.description(), around.elapsed()), (Some("timeout around it"), Some(6 * MS)));
    assert!(around.of_guard && around.budget().is_none());
}

/// What a read of 10 ms, 20 ms late, says of its deadline; set up by `bound`, on a clock that the test moves.
fn silent_read(bound: fn(&UnixStream), within: Option<Duration>) -> (Error, Instant) {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let began = clock.now();
    let reading = runtime.spawn(async move {
        let (near, _far) = UnixStream::pair().expect("a pair");
        bound(&near);
        let read = async || near.read(&mut [0; 8]).await.expect_err("silent");
        match within {
            Some(time) => scope("checkout", time, async |_| read().await).await.expect("its value"),
            None => read().await,
        }
    });
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
    drop(runtime.spawn(async move { clock.advance(30 * MS) }));
    let error = runtime.block_on(reading).expect("no panic");
    (error, began)
}

#[test]
fn whose_deadline_it_was_is_told_with_its_time_and_place() {
    let budget: fn(&UnixStream) = |near| near.set_read_timeout(Some(10 * MS)).expect("open");
    let absolute: fn(&UnixStream) =
        |near| near.set_read_deadline(Some(Instant::now() + 10 * MS)).expect("open");
    let neither: fn(&UnixStream) = |_| ();
    let cases = [(budget, None, true), (absolute, None, false), (neither, Some(10 * MS), true)];
    for (bound, within, has_budget) in cases {
        let (error, began) = silent_read(bound, within);
        let info = error.deadline().expect("a timeout");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
        assert_eq!((info.deadline(), info.fired()), (began + 10 * MS, began + 30 * MS), "{error}");
        assert_eq!((info.elapsed(), info.lateness()), (Some(30 * MS), 20 * MS));
        assert_eq!(info.firing().map(Firing::lateness), Some(20 * MS));
        assert!(info.location().is_some_and(|at| at.file().ends_with("accounts.rs")), "{info:?}");
        assert_eq!(info.budget(), has_budget.then_some(10 * MS));
        let of_scope = within.map(|_| "checkout");
        assert_eq!((info.scope(), info.name()), (of_scope, of_scope));
        let late = |by, culprit: &Option<_>| by == 20 * MS && culprit.is_some();
        let reason = error.diagnosis();
        assert!(matches!(reason, Some(Diagnosis::LoopLate { by, culprit }) if late(*by, culprit)));
        assert!(!info.before_it_began());
    }
    let (error, _) =
        silent_read(|near| near.set_read_timeout(Some(Duration::ZERO)).expect("open"), None);
    assert!(error.deadline().is_some_and(DeadlineInfo::before_it_began));
    assert_eq!(error.diagnosis(), Some(&Diagnosis::NotBegun));
}

/// On a real clock: a virtual one moves as it is told, and holds nobody up.
#[test]
fn for_how_long_the_loop_was_held_up_is_told() {
    Runtime::new().expect("a runtime").block_on(async {
        let (near, _far) = UnixStream::pair().expect("a pair");
        near.set_read_timeout(Some(10 * MS)).expect("open");
        drop(spawn(async { std::thread::sleep(30 * MS) }));
        let error = near.read(&mut [0; 8]).await.expect_err("silent");
        let info = error.deadline().expect("a timeout");
        assert!(info.held_up() >= 30 * MS, "{info:?}");
    });
}

#[test]
fn what_ended_an_operation_has_its_kind() {
    let of = |failure| Error::failed(Phase::Write, failure);
    let gone = of(Failure::Io(io::Error::from_raw_os_error(libc::EPIPE)));
    assert_eq!((gone.kind(), gone.phase()), (Kind::Kernel(libc::EPIPE), Phase::Write));
    let cancelled = of(Failure::Cancelled(Cause::from("drained")));
    assert_eq!(cancelled.kind(), Kind::Cancelled);
    assert_eq!(cancelled.cause().map(ToString::to_string).as_deref(), Some("drained"));
    assert_eq!(of(Failure::Shutdown).kind(), Kind::Shutdown);
    assert_eq!(of(Failure::Closed).kind(), Kind::Closed);
    assert!(gone.cause().is_none() && gone.deadline().is_none() && gone.copied().is_none());

    let kernel = |error| Error::kernel(Phase::Read, error).kind();
    assert_eq!(kernel(io::ErrorKind::UnexpectedEof.into()), Kind::UnexpectedEof);
    assert_eq!(kernel(io::ErrorKind::Unsupported.into()), Kind::Unsupported);
    let errno = io::Error::from_raw_os_error(libc::ENOSYS);
    assert_eq!(errno.kind(), io::ErrorKind::Unsupported);
    assert_eq!(kernel(errno), Kind::Kernel(libc::ENOSYS), "what the kernel says keeps its number");
    assert_eq!(kernel(io::Error::other("odd")), Kind::Kernel(0));
}

#[test]
fn every_kind_has_its_kind_of_io_error() {
    use io::ErrorKind as Io;
    let kinds = [
        (Kind::Protocol, Io::InvalidData),
        (Kind::Tls, Io::InvalidData),
        (Kind::LimitExceeded, Io::FileTooLarge),
        (Kind::Unsupported, Io::Unsupported),
        (Kind::Overloaded, Io::ResourceBusy),
        (Kind::Dns, Io::Other),
        (Kind::Kernel(libc::EPIPE), Io::BrokenPipe),
    ];
    for (kind, expected) in kinds {
        let error: io::Error = Error::new(kind, Phase::Write).into();
        assert_eq!(error.kind(), expected, "{kind:?}");
        assert_eq!(Error::take_from_io(error).expect("one of ours").kind(), kind);
    }
}

#[test]
fn what_it_was_made_with_it_has() {
    let peer = "10.0.0.1:443".parse().expect("an address");
    let part = || Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect).with_peer(peer);
    let error = Error::new(Kind::Dns, Phase::Resolve)
        .with_target("pay:443")
        .with_transferred(7)
        .with_sources(vec![part(), part()])
        .with_addresses(4)
        .in_phase(Phase::Connect);
    assert_eq!(
        (error.phase(), error.transferred(), error.endpoint()),
        (Phase::Connect, 7, Some("pay:443"))
    );
    assert_eq!((error.sources().len(), error.0.addresses), (2, 4));
    assert_eq!((error.peer(), part().peer()), (None, Some(peer)));
    assert!(!error.was_told() && error.once_told().was_told());
    let invalid = Error::invalid(Phase::Bind, "no such port");
    assert_eq!((invalid.kind(), invalid.phase()), (Kind::InvalidInput, Phase::Bind));

    let setting = Error::setting("TCP_NODELAY", io::Error::from_raw_os_error(libc::EINVAL));
    assert_eq!((setting.kind(), setting.phase()), (Kind::Kernel(libc::EINVAL), Phase::Configure));
    let said = setting.source().expect("what was set").to_string();
    assert!(said.starts_with("TCP_NODELAY: Invalid argument"), "{said}");
    let io = setting.0.source.as_ref().and_then(|source| source.get_ref()).expect("a setting");
    assert!(io.source().is_some_and(|kernel| kernel.to_string().starts_with("Invalid argument")));
}

#[test]
fn a_copy_that_ended_early_says_what_it_had_moved() {
    Runtime::new().expect("a runtime").block_on(async {
        let pair = || UnixStream::pair().expect("a pair");
        let ((near, caller), (far, called)) = (pair(), pair());
        caller.write_all(b"thirteen more").await.expect("room");
        called.write_all(b"seven..").await.expect("room");
        near.set_read_timeout(Some(5 * MS)).expect("open");
        let error = copy_bidirectional(near, far, CopyOptions::new()).await.expect_err("silence");
        let flows = error.copied().map(|copied| (copied.a_to_b.bytes, copied.b_to_a.bytes));
        assert_eq!((flows, error.transferred()), (Some((13, 7)), 20), "{error}");
    });
}

/// An error of another crate over our streams, as hyper's.
#[derive(Debug)]
struct Theirs(io::Error);

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("theirs")
    }
}

impl std::error::Error for Theirs {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn one_of_ours_is_found_inside_of_others() {
    let ours = || Error::new(Kind::Closed, Phase::Read);
    let inside: io::Error = ours().into();
    assert!(Error::from_io(&inside).is_some() && Error::in_chain(&inside).is_some());
    assert_eq!(Error::in_chain(&ours()).map(Error::kind), Some(Kind::Closed));
    let theirs = Theirs(inside);
    assert_eq!(Error::in_chain(&theirs).map(Error::kind), Some(Kind::Closed));
    assert!(Error::from_io(&io::Error::other(theirs)).is_none());
    let others = io::Error::other("theirs");
    assert!(Error::in_chain(&others).is_none() && Error::take_from_io(others).is_err());
}

#[test]
fn a_name_that_failed_says_why() {
    let silent = Why::error(DnsFailure::NoAnswer, "no answer from 127.0.0.1:53");
    assert_eq!((silent.kind(), silent.phase()), (Kind::Dns, Phase::Resolve));
    assert_eq!(silent.dns_failure(), Some(DnsFailure::NoAnswer));
    assert_eq!(silent.source().map(ToString::to_string).as_deref(), Some("no answer from 127.0.0.1:53"));
    let source = || io::Error::other("Name or service not known");
    let named = |kind| Error::new(kind, Phase::Resolve).because(source()).dns_failure();
    assert_eq!((named(Kind::Dns), named(Kind::Closed)), (Some(DnsFailure::NoSuchName), None));
    use DnsFailure::{NoAddress, NoAnswer, NoSuchName, NotAsked, ServerFailure};
    for (failure, passes) in [
        (NoSuchName, false),
        (NoAddress, false),
        (ServerFailure, true),
        (NoAnswer, true),
        (NotAsked, false),
    ] {
        assert_eq!(failure.may_pass(), passes, "{failure}");
        assert!(failure.to_string().len() > 5);
    }
}

#[test]
fn a_part_explains_the_whole_only_if_both_ran_out_of_time() {
    let late = firing([MS, 30 * MS, Duration::ZERO]);
    let whole = || Error::timeout(Phase::Connect, over());
    let by = || Diagnosis::LoopLate { by: 30 * MS, culprit: None };
    assert!(whole().diagnosis().is_none());
    let mut part = Error::timeout(Phase::Connect, over()).fired_as(late);
    part.0.deadline.as_mut().expect("its own").held_up = 5 * MS;
    assert_eq!(part.diagnosis(), Some(&by()));
    let of_parts = Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect);
    let late_part = Error::timeout(Phase::Connect, over()).fired_as(late);
    assert!(of_parts.with_sources(vec![late_part]).diagnosis().is_none(), "it was refused");
    let explained = whole().explained_by(Some(&part));
    let info = explained.deadline().expect("its own");
    assert_eq!((info.firing().map(Firing::lateness), info.held_up()), (Some(31 * MS), 5 * MS));
    assert_eq!(explained.diagnosis(), Some(&by()));
    let refused = Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect);
    assert!(whole().explained_by(Some(&refused)).deadline().is_some_and(|info| info.firing().is_none()));
    assert!(refused.explained_by(Some(&part)).deadline().is_none());
}

#[test]
fn the_kernel_is_asked_only_of_what_ran_out_of_time_once_begun() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let timeout = |info| Error::timeout(Phase::Accept, info);
    let asked = |error: Error| {
        let asked = Cell::new(false);
        let answer = error.diagnosed_from(|| {
            asked.set(true);
            Some(TcpInfo::read(&listener))
        });
        (asked.get(), answer.diagnosis().cloned())
    };
    assert_eq!(asked(timeout(over())), (true, Some(Diagnosis::NobodyConnected)));
    let past = DeadlineInfo { before_it_began: true, ..over() };
    assert_eq!(asked(timeout(past)), (false, Some(Diagnosis::NotBegun)));
    assert_eq!(asked(Error::new(Kind::Closed, Phase::Accept)), (false, None));
    let late = timeout(over()).fired_as(firing([MS, 30 * MS, Duration::ZERO]));
    let own = Diagnosis::LoopLate { by: 30 * MS, culprit: None };
    assert_eq!(asked(late), (true, Some(own)), "that nobody came is no better a reason");
    assert_eq!(timeout(over()).diagnosed_on(&listener).diagnosis(), Some(&Diagnosis::NobodyConnected));
    let _waiting =
        std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("room");
    let late = timeout(over()).fired_as(firing([MS, 30 * MS, Duration::ZERO]));
    assert_eq!(asked(late), (true, Some(Diagnosis::Unaccepted { waiting: 1 })));
}

#[cfg(feature = "http")]
#[test]
fn what_ended_a_part_ends_the_whole_if_it_is_of_one_kind() {
    let cancelled = |why: &'static str| Error::failed(Phase::Body, Failure::Cancelled(Cause::from(why)));
    let cause = |error: &Error| error.cause().map(ToString::to_string);
    let ended =
        Error::new(Kind::Cancelled, Phase::Body).ended_as(Some(&cancelled("drained").once_told()));
    assert_eq!((cause(&ended).as_deref(), ended.was_told()), (Some("drained"), true));
    let other = Error::new(Kind::Closed, Phase::Body).ended_as(Some(&cancelled("drained")));
    assert_eq!((cause(&other), other.was_told()), (None, false));
    let told = cancelled("first").once_told().ended_as(Some(&cancelled("second")));
    assert_eq!((cause(&told).as_deref(), told.was_told()), (Some("second"), true));
    let lost = Error::new(Kind::Closed, Phase::Body);
    assert!(!lost.is_retry_safe() && lost.harmless().is_retry_safe());
    let timed = Error::new(Kind::Closed, Phase::Body).with_timeline(crate::http::Timeline::new(AT, MS));
    assert!(timed.timeline().is_some());
}

#[test]
fn phases_are_of_a_connection_of_a_protocol_or_of_a_server() {
    use Phase::*;
    let of_server =
        [RequestFirstByte, RequestHeader, RequestBody, RequestTotal, ResponseWrite, KeepAlive];
    assert!(of_server.into_iter().all(|phase| phase.is_of_a_server() && phase.is_of_a_protocol()));
    let of_client = [Tls, Request, FirstByte, GrpcHeader, Body];
    assert!(of_client.into_iter().all(|phase| phase.is_of_a_protocol() && !phase.is_of_a_server()));
    let of_none = [Resolve, Connect, Accept, Read, Write, Shutdown, Configure, Phase::Copy];
    assert!(!of_none.into_iter().any(|phase| phase.is_of_a_protocol() || phase.is_of_a_server()));
}
