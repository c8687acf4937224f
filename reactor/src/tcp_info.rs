//! [`TcpInfo`]: what the kernel knows of a TCP connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use crate::sys;

/// What the kernel knows of a TCP connection at one moment: `TCP_INFO` (tcp(7), `linux/tcp.h`), and the lengths of the
/// socket's two queues. Reading it takes three system calls and moves nothing.
///
/// Linux and Android only; elsewhere [`read`](TcpInfo::read) says `Unsupported`. A field that an older
/// kernel does not know is `None`. The kernel keeps ages in its own ticks, of 1 to 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Where the connection is between its two ends (RFC 9293, section 3.3.2).
    pub state: TcpState,
    /// Retransmissions after a timeout, in a row: since anything of ours was acknowledged last. Tail loss
    /// probes (RFC 8985) are not among them.
    pub retransmits: u32,
    /// All retransmissions in the life of the connection, SYNs included.
    pub retransmits_total: u32,
    /// Probes of a closed window or of an idle connection that were not answered.
    pub probes: u32,
    /// How often the kernel has doubled its waiting time since there was progress last.
    pub backoff: u32,
    /// After how long without an acknowledgement the kernel sends again.
    pub retransmission_timeout: Duration,
    /// The largest segment it sends, in bytes.
    pub send_segment: u32,
    /// The round trip, smoothed; zero if none has been measured.
    pub round_trip: Duration,
    /// Segments that are on their way or lost. Of a listener: connections that wait to be accepted.
    pub unacknowledged_segments: u32,
    /// Of a listener: how many connections may wait.
    pub backlog: u32,
    /// How long ago we sent data last, for the first time or again.
    pub last_data_sent: Duration,
    /// How long ago data came last; if none has come yet, how long ago the connection stood.
    pub last_data_received: Duration,
    /// How long ago the peer acknowledged something last.
    pub last_acknowledged: Duration,
    /// Bytes that came and were not read.
    pub receive_queue: u32,
    /// Bytes that were written and not acknowledged, sent or not.
    pub send_queue: u32,
    /// Of these, how many have not left this host (Linux 4.6).
    pub not_sent: Option<u32>,
    /// Bytes of ours that the peer has acknowledged, the SYN counted as one (Linux 4.1).
    pub bytes_acknowledged: Option<u64>,
    /// Bytes of the peer's that have come, its end counted as one (Linux 4.1).
    pub bytes_received: Option<u64>,
    /// How much the peer said last that it has room for, in bytes (Linux 5.4).
    pub peer_window: Option<u32>,
}

/// The states of a TCP connection (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcpState {
    /// Both sides are open.
    Established,
    /// We have asked for a connection; nobody has answered.
    SynSent,
    /// We have answered who asked for a connection.
    SynReceived,
    /// We have ended our side, which the peer has not acknowledged.
    FinWait1,
    /// We have ended our side, the peer has not ended its own.
    FinWait2,
    /// Both have ended; the kernel waits for stragglers.
    TimeWait,
    /// There is no connection, or no longer.
    Closed,
    /// The peer has ended its side, we have not ended ours.
    CloseWait,
    /// The peer ended first, then we did; it has not acknowledged that.
    LastAck,
    /// It listens.
    Listen,
    /// Both have ended at once.
    Closing,
    /// One that this crate does not know, by its number.
    Other(u8),
}

/// The part of `struct tcp_info` that is read: up to and with `tcpi_snd_wnd`.
const LENGTH: usize = 232;

/// What every kernel since 2.4 fills in: up to and with `tcpi_total_retrans`.
const LENGTH_MIN: usize = 104;

impl TcpInfo {
    /// Asks the kernel.
    ///
    /// # Errors
    /// `Unsupported` where there is no `TCP_INFO`; or what the kernel says, as `EOPNOTSUPP` of a socket that is
    /// not TCP's.
    pub fn read(socket: &impl AsFd) -> io::Result<TcpInfo> {
        TcpInfo::read_raw(socket.as_fd().as_raw_fd())
    }

    pub(crate) fn read_raw(socket: RawFd) -> io::Result<TcpInfo> {
        let mut raw = [0; LENGTH];
        let length = sys::tcp_info(socket, &mut raw)?;
        let mut info = TcpInfo::parse(&raw[..length])?;
        if info.state != TcpState::Listen {
            [info.receive_queue, info.send_queue] = sys::tcp_queues(socket)?;
        }
        // The end of a stream takes a sequence number, which the kernel counts as a byte.
        if matches!(info.state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck) {
            info.send_queue = info.send_queue.saturating_sub(1);
            info.not_sent = info.not_sent.map(|bytes| bytes.saturating_sub(1));
        }
        Ok(info)
    }

    /// Takes apart what the kernel wrote; it writes less than it is asked for if it knows less.
    fn parse(raw: &[u8]) -> io::Result<TcpInfo> {
        if raw.len() < LENGTH_MIN {
            let what = format!("TCP_INFO of {} bytes, shorter than any kernel's", raw.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let newer_u32 = |at: usize| raw.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let newer_u64 = |at: usize| raw.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        let number = |at| newer_u32(at).unwrap_or_default();
        let micros = |at| Duration::from_micros(number(at).into());
        let millis = |at| Duration::from_millis(number(at).into());
        let state = TcpState::from(raw[0]);
        let listens = state == TcpState::Listen;
        Ok(TcpInfo {
            state,
            retransmits: raw[2].into(),
            probes: raw[3].into(),
            backoff: raw[4].into(),
            retransmission_timeout: micros(8),
            send_segment: number(16),
            unacknowledged_segments: number(24),
            backlog: if listens { number(28) } else { 0 },
            last_data_sent: millis(44),
            last_data_received: millis(52),
            last_acknowledged: millis(56),
            round_trip: micros(68),
            retransmits_total: number(100),
            bytes_acknowledged: newer_u64(120),
            bytes_received: newer_u64(128),
            not_sent: newer_u32(144),
            peer_window: newer_u32(228),
            receive_queue: 0,
            send_queue: 0,
        })
    }

    /// How long ago anything came from the peer: data, or an acknowledgement.
    #[must_use]
    pub fn last_heard(&self) -> Duration {
        self.last_data_received.min(self.last_acknowledged)
    }
}

/// Sets how often the kernel sends a SYN again on `socket` before it gives up with `ETIMEDOUT`: `TCP_SYNCNT`
/// (tcp(7)), 1 to 127.
///
/// # Errors
/// What the kernel says; `Unsupported` on systems other than Linux and Android.
pub fn set_syn_count(socket: &impl AsFd, retransmits: u8) -> io::Result<()> {
    sys::set_syn_count(socket.as_fd(), retransmits.into())
}

impl From<u8> for TcpState {
    /// From the numbers of `linux/tcp_states.h`.
    fn from(number: u8) -> TcpState {
        match number {
            1 => TcpState::Established,
            2 => TcpState::SynSent,
            3 | 12 => TcpState::SynReceived,
            4 => TcpState::FinWait1,
            5 => TcpState::FinWait2,
            6 => TcpState::TimeWait,
            7 => TcpState::Closed,
            8 => TcpState::CloseWait,
            9 => TcpState::LastAck,
            10 => TcpState::Listen,
            11 => TcpState::Closing,
            other => TcpState::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel writes that knows the first `length` bytes; each field holds its own offset.
    fn written(length: usize) -> Vec<u8> {
        let mut raw: Vec<u8> =
            (0..LENGTH as u32 / 4).flat_map(|word| (word * 4).to_ne_bytes()).collect();
        raw[..8].copy_from_slice(&[1, 0, 2, 3, 4, 0, 0, 0]);
        raw.truncate(length);
        raw
    }

    #[test]
    fn fields_are_where_linux_has_them() {
        let info = TcpInfo::parse(&written(LENGTH)).expect("whole");
        assert_eq!(info.state, TcpState::Established);
        assert_eq!((info.retransmits, info.probes, info.backoff), (2, 3, 4));
        assert_eq!(info.retransmission_timeout, Duration::from_micros(8));
        assert_eq!((info.send_segment, info.unacknowledged_segments, info.backlog), (16, 24, 0));
        assert_eq!(info.last_data_sent, Duration::from_millis(44));
        assert_eq!(info.last_data_received, Duration::from_millis(52));
        assert_eq!(info.last_acknowledged, Duration::from_millis(56));
        assert_eq!(info.last_heard(), Duration::from_millis(52));
        assert_eq!(info.round_trip, Duration::from_micros(68));
        assert_eq!(
            (info.retransmits_total, info.not_sent, info.peer_window),
            (100, Some(144), Some(228))
        );
        let two = |low: u64| {
            if cfg!(target_endian = "little") { (low + 4) << 32 | low } else { low << 32 | (low + 4) }
        };
        assert_eq!((info.bytes_acknowledged, info.bytes_received), (Some(two(120)), Some(two(128))));
    }

    #[test]
    fn what_an_older_kernel_does_not_know_is_none() {
        let of = |length| TcpInfo::parse(&written(length)).expect("enough");
        let oldest = of(104);
        assert_eq!(oldest.retransmits_total, 100);
        assert_eq!((oldest.bytes_acknowledged, oldest.not_sent, oldest.peer_window), (None, None, None));
        let linux_4_1 = of(136);
        assert!(linux_4_1.bytes_received.is_some() && linux_4_1.not_sent.is_none());
        let linux_4_9 = of(192);
        assert_eq!((linux_4_9.not_sent, linux_4_9.peer_window), (Some(144), None));
        // In the middle of a field there is no field.
        assert_eq!(of(230).peer_window, None);
        for short in [0, 1, 103] {
            let error = TcpInfo::parse(&written(short)).expect_err("too short");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn of_a_listener_it_tells_the_queue_of_connections() {
        let mut raw = written(LENGTH);
        raw[0] = 10;
        let info = TcpInfo::parse(&raw).expect("whole");
        assert_eq!((info.state, info.unacknowledged_segments, info.backlog), (TcpState::Listen, 24, 28));
    }

    #[test]
    fn states_have_the_numbers_of_linux() {
        let states: Vec<_> = (1..=13).map(TcpState::from).collect();
        assert_eq!(states[1], TcpState::SynSent);
        assert_eq!(states[4], TcpState::FinWait2);
        assert_eq!(states[7], TcpState::CloseWait);
        assert_eq!(
            (states[9], states[11], states[12]),
            (TcpState::Listen, TcpState::SynReceived, TcpState::Other(13))
        );
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn the_kernel_tells_of_tcp_and_of_nothing_else() {
        let (other, _end) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(TcpInfo::read(&other).is_err());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let near = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("queued");
        let waiting = TcpInfo::read(&listener).expect("a TCP socket");
        assert_eq!((waiting.state, waiting.unacknowledged_segments), (TcpState::Listen, 1));
        assert!(waiting.backlog > 0);
        let (far, _) = listener.accept().expect("one waits");
        std::io::Write::write_all(&mut &far, b"three").expect("room");
        std::io::Read::read_exact(&mut &near, &mut [0; 2]).expect("it comes");
        let info = TcpInfo::read(&near).expect("a TCP socket");
        assert_eq!((info.state, info.receive_queue, info.send_queue), (TcpState::Established, 3, 0));
        assert_eq!(info.bytes_received.unwrap_or(5), 5);
    }
}
