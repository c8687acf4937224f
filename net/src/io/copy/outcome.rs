//! [`Copied`]: what went which way, and how each way ended.

use std::borrow::Cow;
use std::fmt;

use punctual_reactor::Instant;

/// What a [`copy_bidirectional`](crate::io::copy_bidirectional) has moved, in each direction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Copied {
    /// From the first stream to the second.
    pub a_to_b: Flow,
    /// From the second stream to the first.
    pub b_to_a: Flow,
    pub(super) names: [Cow<'static, str>; 2],
}

/// One direction of a copy.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Flow {
    /// How many bytes the receiving stream has taken.
    pub bytes: u64,
    /// What was read after them and not taken any more, in order: empty unless the copy failed.
    pub undelivered: Vec<u8>,
    /// How many bytes were read after those and discarded, as the receiving stream had failed.
    pub discarded: u64,
    /// How it ended.
    pub end: FlowEnd,
    /// When it ended, if it did.
    pub ended_at: Option<Instant>,
}

/// How one direction of a copy ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlowEnd {
    /// It had not: the copy ended before it, over a deadline or the other direction.
    #[default]
    Open,
    /// Its sender ended, everything was handed on, and then the end.
    Ended,
    /// Reading from its sender failed.
    ReadFailed,
    /// Writing to its receiver failed, ending it included.
    WriteFailed,
}

impl Copied {
    /// Bytes in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.a_to_b.bytes.saturating_add(self.b_to_a.bytes)
    }
}

impl fmt::Display for Copied {
    /// `17 bytes had gone from client to server (ended) and 0 back (still open)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.names;
        let (there, back) = (&self.a_to_b, &self.b_to_a);
        let s = if there.bytes == 1 { "" } else { "s" };
        write!(f, "{} byte{s} had gone from {a} to {b} ({})", there.bytes, there.state())?;
        write!(f, " and {} back ({})", back.bytes, back.state())
    }
}

impl Flow {
    fn state(&self) -> &'static str {
        match self.end {
            FlowEnd::Open if self.undelivered.is_empty() => "still open",
            FlowEnd::Open => "still open, its receiver took no more",
            FlowEnd::Ended => "ended",
            FlowEnd::ReadFailed => "its sender failed",
            FlowEnd::WriteFailed => "its receiver failed",
        }
    }
}
