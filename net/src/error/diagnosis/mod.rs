//! [`Diagnosis`]: why a deadline passed, from what the kernel knew of the connection, or a lookup of its servers, at
//! that moment.

mod names;
mod reason;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::Culprit;

use super::text::{Age, Bytes, Count, Short};
pub use names::IgnoredAnswers;

/// Why an operation ran out of time.
///
/// At the moment of a timeout the kernel is asked once what it knows of the connection
/// ([`TcpInfo`](punctual_reactor::TcpInfo): `TCP_INFO` and the lengths of both queues). What stands here is what it said, and no guess: a
/// network that loses everything looks like a peer that is gone. Operations that succeed, and those that end otherwise,
/// ask nothing. A lookup keeps its own account of what it has asked and heard, and gives it out then.
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
    /// Our own loop was held up while the deadline passed, or for most of the time that the operation had, and nothing
    /// else explains the timeout: what was to be sent to have an answer may have waited for this loop.
    #[non_exhaustive]
    LoopLate {
        /// For how long: turns of 20 ms and more count.
        by: Duration,
        /// Who held it most of the time that the operation had, if the loop knows: see
        /// [`Runtime::blame`](punctual_reactor::Runtime::blame).
        culprit: Option<Box<Culprit>>,
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
    /// The name servers that a lookup waits for have not answered: they are down, slow or out of reach, or what
    /// came in their name was no answer.
    #[non_exhaustive]
    NameServersSilent {
        /// Those that have said nothing since they were asked last, in the order of asking. None if the query still
        /// waited for others of the same resolver to end.
        servers_asked: Vec<SocketAddr>,
        /// How many questions these were sent, over both families; also before this lookup joined, if others had asked
        /// for the name already.
        queries_sent: u32,
        /// What came in their name and was not believed.
        answers_ignored: IgnoredAnswers,
    },
    /// The system's library, `getaddrinfo`, has not answered. It does not say whom it waits for.
    #[non_exhaustive]
    SystemLibrarySilent {
        /// Whether it was called: if not, all helper threads still waited for it on behalf of others.
        called: bool,
    },
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
            Diagnosis::LoopLate { by, ref culprit } => {
                write!(f, "our own loop was held up for {}", Short(by))?;
                match culprit {
                    Some(culprit) => write!(f, ", by {}", culprit.who()),
                    None => Ok(()),
                }
            }
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
            Diagnosis::NameServersSilent { ref servers_asked, queries_sent, answers_ignored } => {
                names::servers_silent(f, servers_asked, queries_sent, answers_ignored)
            }
            Diagnosis::SystemLibrarySilent { called: true } => {
                f.write_str("the system's library (getaddrinfo) had not answered")
            }
            Diagnosis::SystemLibrarySilent { called: false } => f.write_str(
                "the system's library (getaddrinfo) was not called yet, as other lookups hung in it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_reason_is_a_clause() {
        let says = |diagnosis: Diagnosis, clause: &str| assert_eq!(diagnosis.to_string(), clause);
        let last_heard = 1_200 * MS;
        says(Diagnosis::NotBegun, "it was not begun");
        says(Diagnosis::LoopLate { by: 52 * MS, culprit: None }, "our own loop was held up for 52 ms");
        says(Diagnosis::NoSynAck { syns_sent: 1 }, "no SYN-ACK after 1 SYN");
        says(Diagnosis::NoSynAck { syns_sent: 3 }, "no SYN-ACK after 3 SYNs");
        says(
            Diagnosis::Unacknowledged { bytes: 4_096, retransmits: 3, last_heard },
            "4096 bytes of ours unacknowledged after 3 retransmits, peer last heard of 1.2 s ago",
        );
        says(
            Diagnosis::Unacknowledged { bytes: 1, retransmits: 0, last_heard: Duration::ZERO },
            "1 byte of ours unacknowledged, peer last heard of 0 ms ago",
        );
        says(
            Diagnosis::Unacknowledged { bytes: 0, retransmits: 1, last_heard },
            "our end of the stream unacknowledged after 1 retransmit, peer last heard of 1.2 s ago",
        );
        says(
            Diagnosis::PeerWindowClosed { queued: 65_536, probes: 2, last_heard: 212 * MS },
            "peer's window closed with 65536 bytes of ours waiting, 2 probes, peer last heard of 212 ms ago",
        );
        says(
            Diagnosis::SlowPath { queued: 70_000, round_trip: 40 * MS },
            "70000 bytes of ours on their way, acknowledged at a round trip of 40 ms",
        );
        says(
            Diagnosis::PeerSilent { silent_for: 500 * MS, last_heard, in_flight: 0 },
            "peer silent for 500 ms, all of ours acknowledged",
        );
        says(
            Diagnosis::PeerSilent { silent_for: 500 * MS, last_heard, in_flight: 1 },
            "peer silent for 500 ms, but acknowledging what we send",
        );
        says(
            Diagnosis::PeerHalfClosed { queued: 9, last_heard },
            "peer has ended its side and does not read 9 bytes of ours, last heard of 1.2 s ago",
        );
        says(
            Diagnosis::HalfClosedHere { silent_for: 3_000 * MS, last_heard },
            "we ended our side, the peer has not ended its own, silent for 3 s",
        );
        says(Diagnosis::NobodyConnected, "nobody has connected");
        says(Diagnosis::Unaccepted { waiting: 3 }, "3 waiting connections could not be accepted");
    }

    #[test]
    fn a_lookup_says_whom_it_waited_for() {
        let says = |servers: u8, queries_sent, answers_ignored, clause: &str| {
            let servers_asked = (1..=servers).map(|n| ([127, 0, 0, n], 53).into()).collect();
            let silent = Diagnosis::NameServersSilent { servers_asked, queries_sent, answers_ignored };
            assert_eq!(silent.to_string(), clause);
        };
        let none = IgnoredAnswers::default();
        says(1, 1, none, "no answer from 127.0.0.1:53 after 1 query");
        says(2, 3, none, "no answer from 127.0.0.1:53, 127.0.0.2:53 after 3 queries");
        says(
            6,
            12,
            none,
            "no answer from 127.0.0.1:53, 127.0.0.2:53, 127.0.0.3:53, 127.0.0.4:53 and 2 more after 12 queries",
        );
        says(
            1,
            2,
            IgnoredAnswers { wrong_id: 1, ..none },
            "no answer from 127.0.0.1:53 after 2 queries; 1 answer ignored: wrong id",
        );
        says(
            1,
            2,
            IgnoredAnswers { wrong_id: 1, wrong_question: 2, wrong_capitals: 3, malformed: 4 },
            "no answer from 127.0.0.1:53 after 2 queries; 10 answers ignored: 1 wrong id, 2 wrong question, 3 wrong \
             capitals, 4 not an answer of DNS",
        );
        says(0, 0, none, "no name server asked, as other queries were before this one");
        assert_eq!(
            [true, false].map(|called| Diagnosis::SystemLibrarySilent { called }.to_string()),
            [
                "the system's library (getaddrinfo) had not answered",
                "the system's library (getaddrinfo) was not called yet, as other lookups hung in it"
            ]
        );
    }
}
