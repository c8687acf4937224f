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
}
