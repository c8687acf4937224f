//! Tests: whole sentences, as their readers see them.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use punctual_reactor::{Cause, Firing, Instant, Runtime};

use super::{DeadlineInfo, Diagnosis, Error, IgnoredAnswers, Kind, Phase};

fn timeout(phase: Phase, budget: Option<Duration>) -> Error {
    let deadline = Instant::from_nanos(1_000);
    let fired = deadline + Duration::from_micros(61);
    let info = DeadlineInfo { budget, ..DeadlineInfo::new(deadline, fired) };
    Error::timeout(phase, info).with_peer("10.0.0.1:443".parse().expect("an address"))
}

#[test]
fn an_error_is_a_sentence_one_can_act_on() {
    let ms = Duration::from_millis;
    let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
    says(
        timeout(Phase::Read, Some(ms(500))).with_deadline(|info| info.idle = true),
        "read from 10.0.0.1:443 timed out after 500 ms (idle timeout), fired 61 µs late",
    );
    says(
        timeout(Phase::Write, None).with_transferred(1),
        "write to 10.0.0.1:443 missed its deadline, fired 61 µs late; 1 byte had been moved",
    );
    says(
        timeout(Phase::Connect, Some(ms(1_250)))
            .with_target("example.org:443")
            .with_deadline(|info| info.name = Some("upstream".into())),
        "connect to example.org:443 (10.0.0.1:443) timed out in tcp-connect after 1.25 s (deadline \"upstream\"), \
         fired 61 µs late",
    );
    let mut cancelled = Error::new(Kind::Cancelled, Phase::Accept).with_target("0.0.0.0:80");
    cancelled.0.cause = Some(Cause::from("drained"));
    says(cancelled, "accept on 0.0.0.0:80 was cancelled: drained");
}

#[test]
fn what_was_late_is_said_of_the_right_one() {
    let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
    let second = Some(Duration::from_secs(1));
    says(
        timeout(Phase::Read, second),
        "read from 10.0.0.1:443 timed out after 1 s (read timeout), fired 61 µs late",
    );
    let past = timeout(Phase::Write, None).with_deadline(|info| {
        info.fired = info.deadline + Duration::from_millis(1_500);
        info.before_it_began = true;
    });
    assert_eq!(past.deadline().map(DeadlineInfo::lateness), Some(Duration::ZERO));
    assert!(!past.is_retry_safe());
    says(past, "write to 10.0.0.1:443 was not begun: its deadline had passed 1.5 s before");
    let none = timeout(Phase::Read, Some(Duration::ZERO)).with_deadline(|info| {
        info.fired = info.deadline;
        info.before_it_began = true;
    });
    says(none, "read from 10.0.0.1:443 was not begun: it was given no time");
    let here = std::panic::Location::caller();
    let placed = timeout(Phase::Read, second).with_deadline(|info| {
        (info.idle, info.set_at, info.name) = (true, Some(here), Some("header".into()));
    });
    let origin = format!("after 1 s (idle timeout \"header\" set at {here}), fired");
    assert!(placed.to_string().contains(&origin), "{placed}");
    says(Error::invalid(Phase::Connect, "no address was given"), "connect failed: no address was given");
}

#[test]
fn an_error_is_one_line_whatever_it_is_about() {
    let odd = "a\nb\r\u{1b}[31m\u{85}\u{2028}\0c";
    let mut cancelled = Error::new(Kind::Cancelled, Phase::Accept).with_target(odd);
    cancelled.0.cause = Some(Cause::from(odd));
    let named = timeout(Phase::Connect, None).with_deadline(|info| info.name = Some(odd.into()));
    let invalid = Error::invalid(Phase::Connect, odd).with_sources(vec![cancelled]);
    let words = "a\\nb\\r\\u{1b}[31m\\u{85}\\u{2028}\\u{0}c";
    let name = "\"a\\nb\\r\\u{1b}[31m\\u{85}\\u{2028}\\0c\"";
    let debug = format!("{invalid:?}");
    for (sentence, escaped) in [(named.to_string(), name), (invalid.to_string(), words), (debug, words)]
    {
        let breaks = |c: char| c.is_control() || c == '\u{2028}';
        assert!(!sentence.contains(breaks), "{sentence:?}");
        assert!(sentence.contains(escaped), "{sentence}");
    }
}

#[test]
fn three_of_many_addresses_are_spelt_out() {
    let refused = |n: u8| {
        Error::kernel(Phase::Connect, std::io::Error::from_raw_os_error(libc::ECONNREFUSED))
            .with_peer(([127, 0, 0, n], 9).into())
    };
    let all = (1..=5).map(refused).collect();
    let text = Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect)
        .with_target("many:9")
        .with_sources(all)
        .to_string();
    assert!(text.starts_with("connect to many:9 failed; tried 5 addresses: connect to 127.0.0.1:9"));
    assert!(text.ends_with("; and 2 more"), "{text}");
}

const MS: Duration = Duration::from_millis(1);

fn with(mut error: Error, diagnosis: Diagnosis) -> Error {
    error.0.diagnosis = Some(diagnosis);
    error
}

#[test]
fn why_it_ran_out_of_time_stands_behind_what_it_was() {
    let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
    let no_syn_ack = || Diagnosis::NoSynAck { syns_sent: 3 };
    let dial = || timeout(Phase::Connect, Some(500 * MS));
    let checkout = || dial().with_deadline(|info| info.name = Some("checkout".into()));
    says(
        checkout()
            .with_target("10.0.0.1:443")
            .with_sources(vec![with(dial(), no_syn_ack()), with(dial(), no_syn_ack())])
            .with_addresses(2),
        "connect to 10.0.0.1:443 timed out in tcp-connect after 500 ms (deadline \"checkout\", 2 of 2 addresses; no \
         SYN-ACK after 3 SYNs), fired 61 µs late",
    );
    says(
        with(dial(), no_syn_ack()),
        "connect to 10.0.0.1:443 timed out in tcp-connect after 500 ms (no SYN-ACK after 3 SYNs), fired 61 µs late",
    );
    let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
    let refused = Error::kernel(Phase::Connect, refused).with_peer(([10, 0, 0, 2], 443).into());
    says(
        checkout()
            .with_target("pay:443")
            .with_sources(vec![refused, with(dial(), no_syn_ack())])
            .with_addresses(3),
        "connect to pay:443 (10.0.0.1:443) timed out in tcp-connect after 500 ms (deadline \"checkout\", 2 of 3 \
         addresses; no SYN-ACK after 3 SYNs), fired 61 µs late; tried 2 addresses: connect to 10.0.0.2:443 failed: \
         Connection refused (os error 111); connect to 10.0.0.1:443 timed out in tcp-connect after 500 ms (no SYN-ACK \
         after 3 SYNs), fired 61 µs late",
    );
    let (silent_for, last_heard) = (500 * MS, 480 * MS);
    says(
        with(
            timeout(Phase::Read, Some(500 * MS)).with_deadline(|info| info.idle = true),
            Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 0 },
        ),
        "read from 10.0.0.1:443 timed out after 500 ms (idle timeout; peer silent for 500 ms, all of ours \
         acknowledged), fired 61 µs late",
    );
    says(
        with(
            timeout(Phase::Write, None)
                .with_deadline(|info| info.name = Some("reply".into()))
                .with_transferred(70_000),
            Diagnosis::PeerWindowClosed { queued: 65_536, probes: 0, last_heard },
        ),
        "write to 10.0.0.1:443 missed its deadline \"reply\" (peer's window closed with 65536 bytes of ours waiting, \
         peer last heard of 480 ms ago), fired 61 µs late; 70000 bytes had been moved",
    );
    says(
        with(
            timeout(Phase::Shutdown, Some(2_000 * MS)),
            Diagnosis::HalfClosedHere { silent_for: 2_000 * MS, last_heard },
        ),
        "shutdown of 10.0.0.1:443 timed out after 2 s (we ended our side, the peer has not ended its own, silent for \
         2 s), fired 61 µs late",
    );
}

#[test]
fn a_lookup_says_whom_it_waited_for() {
    let says = |diagnosis: Diagnosis, sentence: &str| {
        let info = DeadlineInfo {
            budget: Some(200 * MS),
            name: Some("checkout".into()),
            ..DeadlineInfo::new(Instant::from_nanos(1_000), Instant::from_nanos(62_000))
        };
        let error = with(Error::timeout(Phase::Resolve, info), diagnosis).with_target("pay:443");
        assert_eq!(error.to_string(), sentence);
    };
    let servers_asked = vec![([127, 0, 0, 1], 53).into(), ([127, 0, 0, 2], 53).into()];
    let answers_ignored = IgnoredAnswers { wrong_id: 2, ..IgnoredAnswers::default() };
    says(
        Diagnosis::NameServersSilent { servers_asked, queries_sent: 3, answers_ignored },
        "resolve pay:443 timed out after 200 ms (deadline \"checkout\"; no answer from 127.0.0.1:53, 127.0.0.2:53 after \
         3 queries; 2 answers ignored: wrong id), fired 61 µs late",
    );
    says(
        Diagnosis::SystemLibrarySilent { called: true },
        "resolve pay:443 timed out after 200 ms (deadline \"checkout\"; the system's library (getaddrinfo) had not \
         answered), fired 61 µs late",
    );
}

#[test]
fn a_loop_that_was_held_up_comes_before_a_server_that_was_silent() {
    let [prompt, late] = [[60, 20, 0], [60, 51_940, 0]].map(|parts: [u32; 3]| {
        let firing = firing(parts.map(|part| Duration::from_micros(part.into())));
        let info =
            DeadlineInfo { budget: Some(500 * MS), ..DeadlineInfo::new(firing.deadline, firing.fired) };
        let progress = crate::resolve::Progress::default();
        progress.awaits_library(std::sync::Arc::default());
        let error = Error::timeout(Phase::Resolve, info).fired_as(firing).awaiting(&progress);
        error.diagnosis().cloned().expect("a reason")
    });
    assert_eq!(prompt, Diagnosis::SystemLibrarySilent { called: false });
    assert_eq!(late, Diagnosis::LoopLate { by: Duration::from_micros(51_940), culprit: None });
    let past = timeout(Phase::Resolve, None).with_deadline(|info| info.before_it_began = true);
    let progress = crate::resolve::Progress::default();
    progress.awaits_library(std::sync::Arc::default());
    assert_eq!(past.awaiting(&progress).diagnosis(), Some(&Diagnosis::NotBegun));
}

/// A firing that was so late, through the kernel, our own loop and by choice.
pub(super) fn firing(parts: [Duration; 3]) -> Firing {
    let some = Runtime::new().expect("a runtime").block_on(async {
        let never = std::future::pending::<()>();
        punctual_reactor::timeout(Duration::ZERO, never).await.expect_err("no time")
    });
    let mut firing = some.firing();
    [firing.kernel, firing.in_loop, firing.quantisation] = parts;
    firing.deadline = Instant::from_nanos(1_000);
    firing.fired = firing.deadline + parts.iter().sum();
    firing
}

#[test]
fn a_noticeable_lateness_is_laid_at_somebodys_door() {
    let late = |parts: [u32; 3]| {
        let firing = firing(parts.map(|part| Duration::from_micros(part.into())));
        let info = DeadlineInfo {
            budget: Some(500 * MS),
            firing: Some(firing),
            ..DeadlineInfo::new(firing.deadline, firing.fired)
        };
        let error = Error::timeout(Phase::Accept, info).with_target("[::]:80").to_string();
        error.split_once("500 ms").map(|(_, late)| late.to_owned()).expect("how long it had")
    };
    assert_eq!(late([40, 900, 0]), ", fired 940 µs late");
    assert_eq!(late([400, 2_000, 100]), ", fired 2.5 ms late, 2 ms of it through our own loop");
    assert_eq!(late([3_000, 40, 100]), ", fired 3.14 ms late, 3 ms of it through the kernel's wake-up");
    assert_eq!(late([60, 20, 1_000]), ", fired 1.08 ms late, 1 ms of it chosen, to share a wake-up");
    assert_eq!(late([600, 600, 600]), ", fired 1.8 ms late");
    assert_eq!(late([60, 19_999, 0]), ", fired 20.1 ms late, 20 ms of it through our own loop");
    // From here on it is the reason.
    assert_eq!(late([60, 51_940, 0]), " (our own loop was held up for 51.9 ms), fired 52 ms late");
    assert_eq!(
        late([30_000, 20_000, 0]),
        ", fired 50 ms late, 30 ms of it through the kernel's wake-up"
    );
}

#[test]
fn pol7_the_patience_of_the_kernel_is_not_ours() {
    let gave_up =
        |phase| Error::kernel(phase, io::Error::from_raw_os_error(libc::ETIMEDOUT)).to_string();
    assert_eq!(
        gave_up(Phase::Read),
        "read from a socket failed: the kernel gave up after its own retransmissions or probes (tcp_retries2, \
         TCP_USER_TIMEOUT or keepalive): Connection timed out (os error 110)"
    );
    assert_eq!(
        gave_up(Phase::Connect),
        "connect failed: the kernel gave up after its own SYNs (tcp_syn_retries, TCP_SYNCNT or TCP_USER_TIMEOUT): \
         Connection timed out (os error 110)"
    );
}

#[test]
fn what_lies_beneath_is_its_source() {
    let refused = || Error::kernel(Phase::Connect, io::Error::from_raw_os_error(libc::ECONNREFUSED));
    let of = |error: &Error| error.source().map(ToString::to_string);
    assert_eq!(of(&refused()).as_deref(), Some("Connection refused (os error 111)"));
    assert_eq!(of(&timeout(Phase::Read, None)), None, "nothing beneath a deadline of ours");
    let several = Error::new(refused().kind(), Phase::Connect).with_sources(vec![refused()]);
    let first = several.source().expect("one address").downcast_ref::<Error>().expect("one of ours");
    assert_eq!(
        first.source().map(ToString::to_string).as_deref(),
        Some("Connection refused (os error 111)")
    );
}

#[test]
fn phases_have_names() {
    use Phase::*;
    let names = [
        (Resolve, "resolve"),
        (Bind, "bind"),
        (Connect, "tcp-connect"),
        (Accept, "accept"),
        (Read, "read"),
        (Write, "write"),
        (Shutdown, "shutdown"),
        (Configure, "configure"),
    ];
    for (phase, name) in names {
        assert_eq!((phase.as_str(), phase.to_string().as_str()), (name, name));
    }
    assert_eq!(format!("[{:>8}]", Read), "[    read]");
}
