//! [`Diagnosis`]: why a deadline passed, from what the kernel knew of the connection at that moment.

use std::fmt;
use std::time::Duration;

use punctual_reactor::{Firing, TcpInfo, TcpState};

use super::Phase;
use super::text::{Age, Bytes, Count, Short};

/// Why an operation ran out of time.
///
/// At the moment of a timeout the kernel is asked once what it knows of the connection
/// ([`TcpInfo`]: `TCP_INFO` and the lengths of both queues). What stands here is what it said, and no guess: a
/// network that loses everything looks like a peer that is gone. Operations that succeed, and those that end otherwise,
/// ask nothing.
///
/// Ages are in the kernel's ticks, of 1 to 10 ms. Variants and fields may be added: match with `..`.
///
/// ```
/// use std::time::Duration;
/// use punctual_net::{Connect, Diagnosis};
///
/// # punctual_reactor::Runtime::new()?.block_on(async {
/// // Its queue holds one connection, which nobody accepts: the next SYN is not answered.
/// # let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
/// # listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
/// # listener.listen(0)?;
/// # let deaf = listener.local_addr()?.as_socket().expect("an address of IPv4");
/// # let _filler = std::net::TcpStream::connect(deaf)?;
/// let error = Connect::to(deaf).timeout(Duration::from_millis(50)).name("checkout").await.expect_err("deaf");
/// if let Some(Diagnosis::NoSynAck { syns_sent, .. }) = error.diagnosis() {
///     assert_eq!(*syns_sent, 1);
///     println!("{error}");
///     // connect to 127.0.0.1:45679 timed out in tcp-connect after 50 ms (deadline "checkout" set at
///     // src/main.rs:7:35; no SYN-ACK after 1 SYN), fired 61 µs late
/// }
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Diagnosis {
    /// The deadline had passed before the operation began; the socket was not touched, and not asked.
    NotBegun,
    /// Our own loop was held up while the deadline passed, and nothing else explains the timeout: what was to
    /// be sent to have an answer may have waited for this loop. What held it up is not told yet.
    #[non_exhaustive]
    LoopLate {
        /// How long after the deadline the loop came round to it.
        by: Duration,
    },
    /// Nobody has answered our request for a connection: the host is down or unknown, a firewall drops
    /// it, or the queue of the listener is full.
    #[non_exhaustive]
    NoSynAck {
        /// How often it was sent.
        syns_sent: u32,
    },
    /// What we sent does not arrive, or the acknowledgements do not come back.
    #[non_exhaustive]
    Unacknowledged {
        /// How much is unacknowledged, sent or not. None if it is only the end of our side.
        bytes: u64,
        /// How often the kernel has sent it again in vain. What a firewall of this host refuses to let out
        /// counts as well.
        retransmits: u32,
        /// How long ago anything came from the peer.
        last_heard: Duration,
    },
    /// The peer lives, but does not read: it has no room for what we sent.
    #[non_exhaustive]
    PeerWindowClosed {
        /// How much of ours waits for room there.
        queued: u64,
        /// How often the kernel has asked for room in vain.
        probes: u32,
        /// How long ago anything came from the peer.
        last_heard: Duration,
    },
    /// What we send is acknowledged, but more slowly than it was to be written.
    #[non_exhaustive]
    SlowPath {
        /// How much of ours waits here or is on its way.
        queued: u64,
        /// The round trip.
        round_trip: Duration,
    },
    /// The connection stands, the peer acknowledges what we send and says nothing itself.
    #[non_exhaustive]
    PeerSilent {
        /// How long ago it said something last, or since when the connection stands.
        silent_for: Duration,
        /// How long ago anything came from it, if only an acknowledgement.
        last_heard: Duration,
        /// How much of ours is on its way.
        in_flight: u64,
    },
    /// The peer has ended its side and does not read what we still write.
    #[non_exhaustive]
    PeerHalfClosed {
        /// How much of ours waits for room there.
        queued: u64,
        /// How long ago anything came from the peer.
        last_heard: Duration,
    },
    /// We have ended our side, which the peer knows, and it does not end its own (`FIN_WAIT2`).
    #[non_exhaustive]
    HalfClosedHere {
        /// How long ago it said something last.
        silent_for: Duration,
        /// How long ago anything came from it, if only an acknowledgement.
        last_heard: Duration,
    },
    /// Nobody has asked the listener for a connection.
    NobodyConnected,
    /// Connections wait, but could not be accepted: there were no descriptors or no memory.
    #[non_exhaustive]
    Unaccepted {
        /// How many.
        waiting: u32,
    },
}

/// The part of the loop in a lateness from which on the loop is a reason: what it also warns of.
const LOOP_LATE: Duration = Duration::from_millis(20);

/// How coarse the ages are that the kernel tells.
const TICK: Duration = Duration::from_millis(10);

impl Diagnosis {
    /// What the lateness of the firing alone says.
    pub(crate) fn of_firing(firing: &Firing) -> Option<Diagnosis> {
        let by = firing.in_loop;
        let mostly = by >= LOOP_LATE && by * 2 >= firing.lateness();
        mostly.then_some(Diagnosis::LoopLate { by })
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
            _ if phase == Phase::Write => outbound(info, elapsed).or_else(|| slow_path(info)),
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

impl fmt::Display for Diagnosis {
    /// A clause, as it stands in the sentence of an [`Error`](crate::Error).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = |f: &mut fmt::Formatter<'_>, retransmits: u32, last_heard: Duration| {
            if retransmits > 0 {
                write!(f, " after {}", Count(retransmits.into(), "retransmit"))?;
            }
            write!(f, ", peer last heard of {} ago", Age(last_heard))
        };
        match *self {
            Diagnosis::NotBegun => f.write_str("it was not begun"),
            Diagnosis::LoopLate { by } => write!(f, "our own loop was held up for {}", Short(by)),
            Diagnosis::NoSynAck { syns_sent } => {
                write!(f, "no SYN-ACK after {}", Count(syns_sent.into(), "SYN"))
            }
            Diagnosis::Unacknowledged { bytes: 0, retransmits, last_heard } => {
                f.write_str("our end of the stream unacknowledged")?;
                again(f, retransmits, last_heard)
            }
            Diagnosis::Unacknowledged { bytes, retransmits, last_heard } => {
                write!(f, "{} of ours unacknowledged", Bytes(bytes))?;
                again(f, retransmits, last_heard)
            }
            Diagnosis::PeerWindowClosed { queued, probes, last_heard } => {
                write!(f, "peer's window closed with {} of ours waiting", Bytes(queued))?;
                if probes > 0 {
                    write!(f, ", {}", Count(probes.into(), "probe"))?;
                }
                write!(f, ", peer last heard of {} ago", Age(last_heard))
            }
            Diagnosis::SlowPath { queued, round_trip } => {
                let (queued, round_trip) = (Bytes(queued), Short(round_trip));
                write!(f, "{queued} of ours on their way, acknowledged at a round trip of {round_trip}")
            }
            Diagnosis::PeerSilent { silent_for, in_flight, .. } => {
                write!(f, "peer silent for {}, ", Age(silent_for))?;
                f.write_str(match in_flight {
                    0 => "all of ours acknowledged",
                    _ => "but acknowledging what we send",
                })
            }
            Diagnosis::PeerHalfClosed { queued, last_heard } => {
                write!(f, "peer has ended its side and does not read {} of ours", Bytes(queued))?;
                write!(f, ", last heard of {} ago", Age(last_heard))
            }
            Diagnosis::HalfClosedHere { silent_for, .. } => {
                write!(
                    f,
                    "we ended our side, the peer has not ended its own, silent for {}",
                    Age(silent_for)
                )
            }
            Diagnosis::NobodyConnected => f.write_str("nobody has connected"),
            Diagnosis::Unaccepted { waiting } => {
                write!(f, "{} could not be accepted", Count(waiting.into(), "waiting connection"))
            }
        }
    }
}
