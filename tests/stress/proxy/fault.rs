//! [`Fault`]: what is done to one direction of a connection, and how it is drawn.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;

/// What is done to one direction of a connection; offsets count the bytes of that direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Everything comes this much later.
    Delay(Duration),
    /// A few bytes at a time, this long apart.
    Trickle(Duration),
    /// Nothing comes from this offset on.
    Stall(usize),
    /// Both ends are reset at this offset.
    Reset(usize),
    /// The receiver is told at this offset that it was the end.
    HalfClose(usize),
    /// The byte at this offset is another: one bit of it, `0x20`.
    Corrupt(usize),
}

/// The names under which faults are counted.
pub const KINDS: [&str; 8] =
    ["none", "delay", "trickle", "stall", "reset", "half-close", "corrupt", "duplicate"];

impl Fault {
    /// One of all kinds but `None`, equally likely; offsets lie within the first messages, small ones more often.
    pub fn draw(rng: &mut Rng) -> Fault {
        let within = 1 << rng.u32(4..17);
        let offset = rng.usize(..within);
        match rng.u8(..6) {
            0 => Fault::Delay(Duration::from_micros(rng.u64(100..60_000))),
            1 => Fault::Trickle(Duration::from_micros(rng.u64(200..8_000))),
            2 => Fault::Stall(offset),
            3 => Fault::Reset(offset),
            4 => Fault::HalfClose(offset),
            _ => Fault::Corrupt(offset),
        }
    }

    /// Of [`KINDS`].
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::Delay(_) => "delay",
            Fault::Trickle(_) => "trickle",
            Fault::Stall(_) => "stall",
            Fault::Reset(_) => "reset",
            Fault::HalfClose(_) => "half-close",
            Fault::Corrupt(_) => "corrupt",
        }
    }

    /// Whether [`heal`](super::FaultProxy::heal) ends it.
    #[must_use]
    pub fn can_heal(self) -> bool {
        matches!(self, Fault::Delay(_) | Fault::Trickle(_) | Fault::Stall(_))
    }
}

/// What is done to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// To what the client sends.
    pub requests: Fault,
    /// To what the server sends.
    pub responses: Fault,
    /// Whether the server gets a second connection, on which nothing is said.
    pub duplicate: bool,
}

impl Faults {
    /// A connection that is left alone.
    pub const NONE: Faults = Faults { requests: Fault::None, responses: Fault::None, duplicate: false };

    /// By a seed and the address of the client, its port left out: half of the connections are left alone, the others have a
    /// fault in one direction or (one of eight) a second connection. A client that binds an address of 127.0.0.0/8
    /// that nobody else has knows what it gets.
    #[must_use]
    pub fn drawn(seed: u64, client: SocketAddr) -> Faults {
        let address = match client.ip() {
            IpAddr::V4(four) => u128::from(four.to_bits()),
            IpAddr::V6(six) => six.to_bits(),
        };
        let mixed = (address as u64 ^ (address >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = Rng::with_seed(seed ^ mixed);
        Faults::draw(&mut rng)
    }

    /// As [`drawn`](Faults::drawn), port included: every connection from one address is another.
    #[must_use]
    pub fn drawn_by_port(seed: u64, client: SocketAddr) -> Faults {
        let port = u64::from(client.port()).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Faults::drawn(seed ^ port, client)
    }

    fn draw(rng: &mut Rng) -> Faults {
        if rng.bool() {
            return Faults::NONE;
        }
        if rng.u8(..8) == 0 {
            return Faults { duplicate: true, ..Faults::NONE };
        }
        let fault = Fault::draw(rng);
        if rng.bool() {
            Faults { requests: fault, ..Faults::NONE }
        } else {
            Faults { responses: fault, ..Faults::NONE }
        }
    }

    /// Whether one of the two directions has a fault of which this is true.
    #[must_use]
    pub fn any(self, which: impl Fn(Fault) -> bool) -> bool {
        which(self.requests) || which(self.responses)
    }
}
