//! From what the kernel says of a connection to the one reason that it gives.

use std::time::Duration;

use punctual_reactor::{TcpInfo, TcpState, held_by};

use super::Diagnosis;
use crate::error::{DeadlineInfo, Phase};

/// The part of the loop in a lateness from which on the loop is a reason: what it also warns of.
const LOOP_LATE: Duration = Duration::from_millis(20);

/// How coarse the ages are that the kernel tells.
const TICK: Duration = Duration::from_millis(10);

impl Diagnosis {
    /// What our own loop says: it was late to end the operation, or was held up for most of the time it had.
    pub(crate) fn of_loop(info: &DeadlineInfo) -> Option<Diagnosis> {
        let firing = info.firing.as_ref()?;
        let of_lateness = firing.in_loop >= LOOP_LATE && firing.in_loop * 2 >= firing.lateness();
        let of_time = info.elapsed().is_some_and(|elapsed| info.held_up * 2 >= elapsed);
        let by = info.held_up.max(firing.in_loop);
        (of_lateness || info.held_up >= LOOP_LATE && of_time).then(|| {
            let began = info.began.unwrap_or(info.deadline);
            // Who has less than half of it is not who it was.
            let culprit = held_by(began, info.fired).filter(|culprit| culprit.held() * 2 >= by);
            Diagnosis::LoopLate { by, culprit: culprit.map(Box::new) }
        })
    }

    /// What the kernel says of an operation in `phase` that has got nowhere for so long. `None` if it sees nothing
    /// amiss.
    pub(crate) fn of_connection(phase: Phase, info: &TcpInfo, elapsed: Duration) -> Option<Diagnosis> {
        match info.state {
            TcpState::SynSent | TcpState::SynReceived => {
                Some(Diagnosis::NoSynAck { syns_sent: info.retransmits_total.saturating_add(1) })
            }
            TcpState::Listen => Some(match info.unacknowledged_segments {
                0 => Diagnosis::NobodyConnected,
                waiting => Diagnosis::Unaccepted { waiting },
            }),
            TcpState::Closed | TcpState::TimeWait | TcpState::Other(_) => None,
            // Slow it is if something of it was acknowledged while it was being written.
            _ if matches!(phase, Phase::Write | Phase::Request | Phase::ResponseWrite) => {
                outbound(info, elapsed).or_else(|| slow_path(info))
            }
            _ => outbound(info, info.round_trip * 2).or_else(|| inbound(info)),
        }
    }

    /// Whether the kernel alone is enough of an explanation, however late the loop was.
    pub(crate) fn is_beyond_the_loop(&self) -> bool {
        matches!(
            self,
            Diagnosis::NoSynAck { .. }
                | Diagnosis::Unacknowledged { .. }
                | Diagnosis::PeerWindowClosed { .. }
                | Diagnosis::PeerHalfClosed { .. }
                | Diagnosis::Unaccepted { .. }
        )
    }
}

/// What keeps our own bytes, or the end of our side, from the peer; nothing does if it has acknowledged
/// some of them as lately as that.
fn outbound(info: &TcpInfo, lately: Duration) -> Option<Diagnosis> {
    let queued = u64::from(info.send_queue);
    let ends = matches!(info.state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
    if queued == 0 && !ends {
        return None;
    }
    let last_heard = info.last_heard();
    // Something waits, and nothing is on its way.
    let held_back = info.unacknowledged_segments == 0;
    let wanted = info.send_queue.min(info.send_segment);
    if held_back && queued > 0 && info.peer_window.is_none_or(|window| window < wanted) {
        return Some(match info.state {
            TcpState::CloseWait => Diagnosis::PeerHalfClosed { queued, last_heard },
            // Answered probes are no longer counted as probes, but the waiting time still doubles.
            _ => {
                Diagnosis::PeerWindowClosed { queued, probes: info.probes.max(info.backoff), last_heard }
            }
        });
    }
    if !held_back && flows(info, lately) {
        return None;
    }
    // There is room, and yet nothing is on its way: it is dropped before it has left this host.
    let retransmits = if held_back { info.backoff } else { info.retransmits };
    Some(Diagnosis::Unacknowledged { bytes: queued, retransmits, last_heard })
}

/// Whether what we send is being acknowledged.
fn flows(info: &TcpInfo, lately: Duration) -> bool {
    info.retransmits == 0
        && info.last_data_sent.max(info.last_acknowledged) + TICK < lately.max(TICK * 2)
}

fn slow_path(info: &TcpInfo) -> Option<Diagnosis> {
    let queued = info.send_queue.into();
    (queued > 0).then_some(Diagnosis::SlowPath { queued, round_trip: info.round_trip })
}

/// What the peer does not say.
fn inbound(info: &TcpInfo) -> Option<Diagnosis> {
    let (silent_for, last_heard) = (info.last_data_received, info.last_heard());
    match info.state {
        // What has come in the meantime will be read.
        _ if info.receive_queue > 0 => None,
        TcpState::FinWait1 | TcpState::FinWait2 => {
            Some(Diagnosis::HalfClosedHere { silent_for, last_heard })
        }
        TcpState::Established => {
            let in_flight = info.send_queue.into();
            Some(Diagnosis::PeerSilent { silent_for, last_heard, in_flight })
        }
        _ => None,
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use punctual_reactor::{Instant, Runtime, VirtualClock, spawn_named, yield_now};

    const MS: Duration = Duration::from_millis(1);

    /// What the kernel says of a connection on which all is well, changed by `change`.
    fn kernel_says(change: impl FnOnce(&mut TcpInfo)) -> TcpInfo {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let mut info = TcpInfo::read(&listener).expect("a TCP socket");
        info.state = TcpState::Established;
        (info.send_segment, info.round_trip) = (1_460, 20 * MS);
        (info.peer_window, info.not_sent) = (Some(65_536), Some(0));
        (info.last_data_sent, info.last_acknowledged, info.last_data_received) =
            (450 * MS, 430 * MS, 900 * MS);
        change(&mut info);
        info
    }

    #[test]
    fn what_the_kernel_says_has_one_reason() {
        let (silent_for, last_heard) = (900 * MS, 430 * MS);
        let silent = Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 0 };
        let cases = [
            (Phase::Read, kernel_says(|_| ()), Some(silent)),
            (Phase::Write, kernel_says(|_| ()), None),
            (Phase::Read, kernel_says(|info| info.receive_queue = 1), None),
            // The handshake was slow, but that is over.
            (
                Phase::Read,
                kernel_says(|info| info.retransmits_total = 2),
                Some(Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 0 }),
            ),
            (
                Phase::Connect,
                kernel_says(|info| (info.state, info.retransmits_total) = (TcpState::SynSent, 2)),
                Some(Diagnosis::NoSynAck { syns_sent: 3 }),
            ),
            // In flight, and overdue; sent again, or not yet.
            (
                Phase::Read,
                kernel_says(|info| (info.send_queue, info.unacknowledged_segments) = (10, 1)),
                Some(Diagnosis::Unacknowledged { bytes: 10, retransmits: 0, last_heard }),
            ),
            (
                Phase::Write,
                kernel_says(|info| {
                    (info.send_queue, info.unacknowledged_segments, info.retransmits) = (10, 1, 4);
                }),
                Some(Diagnosis::Unacknowledged { bytes: 10, retransmits: 4, last_heard }),
            ),
            // In flight, and acknowledged as fast as the path allows.
            (
                Phase::Write,
                kernel_says(|info| (info.send_queue, info.unacknowledged_segments) = (10, 1)),
                Some(Diagnosis::SlowPath { queued: 10, round_trip: 20 * MS }),
            ),
            (
                Phase::Read,
                kernel_says(|info| {
                    (info.send_queue, info.unacknowledged_segments) = (10, 1);
                    (info.last_data_sent, info.last_acknowledged) = (4 * MS, 8 * MS);
                }),
                Some(Diagnosis::PeerSilent { silent_for, last_heard: 8 * MS, in_flight: 10 }),
            ),
            // Nothing in flight, and something to send: no room there, or no room for what it would send.
            (
                Phase::Write,
                kernel_says(|info| {
                    (info.send_queue, info.peer_window, info.backoff) = (9_000, Some(0), 2)
                }),
                Some(Diagnosis::PeerWindowClosed { queued: 9_000, probes: 2, last_heard }),
            ),
            (
                Phase::Read,
                kernel_says(|info| {
                    (info.send_queue, info.peer_window, info.probes) = (9_000, Some(1_459), 1)
                }),
                Some(Diagnosis::PeerWindowClosed { queued: 9_000, probes: 1, last_heard }),
            ),
            // An older kernel does not tell the window.
            (
                Phase::Write,
                kernel_says(|info| (info.send_queue, info.peer_window) = (9_000, None)),
                Some(Diagnosis::PeerWindowClosed { queued: 9_000, probes: 0, last_heard }),
            ),
            // Room there, and yet nothing leaves this host.
            (
                Phase::Read,
                kernel_says(|info| (info.send_queue, info.backoff, info.probes) = (9_000, 3, 3)),
                Some(Diagnosis::Unacknowledged { bytes: 9_000, retransmits: 3, last_heard }),
            ),
            (
                Phase::Write,
                kernel_says(|info| {
                    info.state = TcpState::CloseWait;
                    (info.send_queue, info.peer_window) = (9_000, Some(0));
                }),
                Some(Diagnosis::PeerHalfClosed { queued: 9_000, last_heard }),
            ),
            (
                Phase::Read,
                kernel_says(|info| info.state = TcpState::FinWait2),
                Some(Diagnosis::HalfClosedHere { silent_for, last_heard }),
            ),
            (
                Phase::Shutdown,
                kernel_says(|info| {
                    info.state = TcpState::FinWait1;
                    (info.unacknowledged_segments, info.retransmits) = (1, 1);
                }),
                Some(Diagnosis::Unacknowledged { bytes: 0, retransmits: 1, last_heard }),
            ),
            (
                Phase::Accept,
                kernel_says(|info| (info.state, info.unacknowledged_segments) = (TcpState::Listen, 2)),
                Some(Diagnosis::Unaccepted { waiting: 2 }),
            ),
            (Phase::Read, kernel_says(|info| info.state = TcpState::Closed), None),
        ];
        for (phase, info, expected) in cases {
            let diagnosis = Diagnosis::of_connection(phase, &info, 1_000 * MS);
            assert_eq!(diagnosis, expected, "in {phase}: {info:?}");
        }
    }

    fn but(mut info: TcpInfo, change: impl FnOnce(&mut TcpInfo)) -> TcpInfo {
        change(&mut info);
        info
    }

    /// As late as that, through our own loop.
    fn late(in_loop: Duration, elsewhere: Duration) -> DeadlineInfo {
        let firing = crate::error::sentences::firing([elsewhere, in_loop, Duration::ZERO]);
        DeadlineInfo { firing: Some(firing), ..DeadlineInfo::new(firing.deadline, firing.fired) }
    }

    #[test]
    fn the_loop_is_a_reason_from_20_ms_and_half_of_the_lateness_or_of_the_time_on() {
        const NS: Duration = Duration::from_nanos(1);
        let by = |info: &DeadlineInfo| {
            Diagnosis::of_loop(info).map(|diagnosis| match diagnosis {
                Diagnosis::LoopLate { by, culprit: None } => by,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(by(&late(20 * MS, 20 * MS)), Some(20 * MS));
        assert_eq!(by(&late(20 * MS, 20 * MS + NS)), None, "it is less than half of it");
        assert_eq!(by(&late(20 * MS - NS, Duration::ZERO)), None);
        assert_eq!(by(&DeadlineInfo { firing: None, ..late(40 * MS, MS) }), None);
        let held = |held_up, elapsed| {
            let fired = Instant::from_nanos(1_000_000_000);
            DeadlineInfo { held_up, began: Some(fired - elapsed), fired, ..late(MS, MS) }
        };
        assert_eq!(by(&held(20 * MS, 40 * MS)), Some(20 * MS));
        assert_eq!(by(&held(20 * MS, 40 * MS + NS)), None, "most of the time it was not held up");
        assert_eq!(by(&held(20 * MS - NS, 20 * MS)), None);
        let both = DeadlineInfo { held_up: 25 * MS, ..late(30 * MS, MS) };
        assert_eq!(by(&both), Some(30 * MS));
    }

    #[test]
    fn who_held_the_loop_for_half_of_it_is_named() {
        let lateness = late(MS, MS);
        let clock = VirtualClock::new();
        let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
        runtime.block_on(async {
            let began = Instant::now();
            let holding = clock.clone();
            drop(spawn_named("holds it", async move { holding.advance(30 * MS) }));
            yield_now().await;
            yield_now().await;
            for (held_up, named) in [(60, true), (61, false)] {
                let info = DeadlineInfo {
                    held_up: held_up * MS,
                    began: Some(began),
                    fired: Instant::now(),
                    ..lateness.clone()
                };
                let Some(Diagnosis::LoopLate { by, culprit }) = Diagnosis::of_loop(&info) else {
                    panic!("it was held up")
                };
                assert_eq!((by, culprit.is_some()), (held_up * MS, named), "{culprit:?}");
            }
        });
    }

    #[test]
    fn the_limits_between_reasons() {
        use TcpState::*;
        const LAST: Duration = Duration::from_millis(430);
        let unacknowledged = |bytes, retransmits, last_heard| {
            Some(Diagnosis::Unacknowledged { bytes, retransmits, last_heard })
        };
        let flowing = |ages: u32, round_trip: u32| {
            kernel_says(|info| {
                (info.send_queue, info.unacknowledged_segments) = (10, 1);
                (info.last_data_sent, info.last_acknowledged) = (ages * MS, ages * MS);
                info.round_trip = round_trip * MS;
            })
        };
        let silent = |ms: u32| {
            let (silent_for, last_heard) = (900 * MS, ms * MS);
            Some(Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 10 })
        };
        let cases = [
            // What was acknowledged within two round trips flows, a tick of the kernel's aside, and two ticks at least.
            (Phase::Read, flowing(189, 100), silent(189)),
            (Phase::Read, flowing(190, 100), unacknowledged(10, 0, 190 * MS)),
            (Phase::Read, flowing(9, 0), silent(9)),
            (Phase::Read, flowing(10, 0), unacknowledged(10, 0, 10 * MS)),
            (Phase::Read, flowing(15, 0), unacknowledged(10, 0, 15 * MS)),
            (
                Phase::Read,
                but(flowing(4, 100), |info| info.retransmits = 1),
                unacknowledged(10, 1, 4 * MS),
            ),
            // A window of as much as would be sent is no closed one, nor is it one while something is on its way.
            (
                Phase::Read,
                kernel_says(|info| (info.send_queue, info.peer_window) = (9_000, Some(1_460))),
                unacknowledged(9_000, 0, LAST),
            ),
            (
                Phase::Read,
                kernel_says(|info| {
                    (info.send_queue, info.peer_window) = (10, Some(0));
                    info.unacknowledged_segments = 1;
                }),
                unacknowledged(10, 0, LAST),
            ),
            // Held back, and something else was acknowledged lately.
            (
                Phase::Read,
                but(flowing(4, 100), |info| (info.unacknowledged_segments, info.backoff) = (0, 2)),
                unacknowledged(10, 2, 4 * MS),
            ),
            // Nothing but our end waits; whatever the window, it needs none.
            (
                Phase::Shutdown,
                kernel_says(|info| {
                    (info.state, info.peer_window, info.backoff) = (FinWait1, None, 3);
                }),
                unacknowledged(0, 3, LAST),
            ),
            (Phase::Read, kernel_says(|info| info.state = LastAck), unacknowledged(0, 0, LAST)),
            (Phase::Read, kernel_says(|info| info.state = CloseWait), None),
            // What is over has no reason, whatever is left of it.
            (
                Phase::Write,
                kernel_says(|info| {
                    (info.state, info.send_queue, info.unacknowledged_segments) = (Closed, 10, 1);
                }),
                None,
            ),
            (
                Phase::Accept,
                kernel_says(|info| (info.state, info.unacknowledged_segments) = (Listen, 0)),
                Some(Diagnosis::NobodyConnected),
            ),
            (
                Phase::Connect,
                kernel_says(|info| info.state = SynReceived),
                Some(Diagnosis::NoSynAck { syns_sent: 1 }),
            ),
        ];
        for (phase, info, expected) in cases {
            let diagnosis = Diagnosis::of_connection(phase, &info, 1_000 * MS);
            assert_eq!(diagnosis, expected, "in {phase}: {info:?}");
        }
    }

    #[test]
    fn what_the_kernel_knows_for_sure_comes_before_a_late_loop() {
        let (last_heard, silent_for) = (MS, MS);
        let sure = [
            Diagnosis::NoSynAck { syns_sent: 1 },
            Diagnosis::Unacknowledged { bytes: 1, retransmits: 0, last_heard },
            Diagnosis::PeerWindowClosed { queued: 1, probes: 0, last_heard },
            Diagnosis::PeerHalfClosed { queued: 1, last_heard },
            Diagnosis::Unaccepted { waiting: 1 },
        ];
        assert!(sure.iter().all(Diagnosis::is_beyond_the_loop));
        let unsure = [
            Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 0 },
            Diagnosis::HalfClosedHere { silent_for, last_heard },
            Diagnosis::NobodyConnected,
            Diagnosis::NotBegun,
        ];
        assert!(!unsure.iter().any(Diagnosis::is_beyond_the_loop));
    }
}
