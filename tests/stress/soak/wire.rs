//! What is said on a connection: frames that name their connection, their number in it, and the sum of all before them.
//!
//! ```text
//!  identity │ sequence │ wish │ length │ seal of these four │ running checksum │ body …
//! ```
//!
//! A byte that belongs elsewhere cannot go unseen: the body is one that only this frame of this connection has, and the
//! checksum runs over all frames of the direction.

use std::collections::VecDeque;

use punctual::net::{Error, TcpStream};
use punctual_tests_stress::proxy::Faults;

/// What the server is to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Answer it, with as much.
    Answer,
    /// Say nothing.
    Silence,
    /// Answer, and close.
    Bye,
    /// Reset the connection.
    Reset,
    /// Answer with so many bytes.
    Large(u32),
    /// Answer so many microseconds later.
    Later(u32),
}

impl Wish {
    fn to_word(self) -> u64 {
        match self {
            Wish::Answer => 0,
            Wish::Silence => 1,
            Wish::Bye => 2,
            Wish::Reset => 3,
            Wish::Large(bytes) => 4 | u64::from(bytes) << 8,
            Wish::Later(us) => 5 | u64::from(us) << 8,
        }
    }

    fn from_word(word: u64) -> Option<Wish> {
        let with = (word >> 8) as u32;
        match word & 0xff {
            0 => Some(Wish::Answer),
            1 => Some(Wish::Silence),
            2 => Some(Wish::Bye),
            3 => Some(Wish::Reset),
            4 => Some(Wish::Large(with)),
            5 => Some(Wish::Later(with)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) identity: u64,
    pub(crate) sequence: u64,
    pub(crate) wish: Wish,
    pub(crate) length: u64,
    /// Which of the two directions: an echo is not its request.
    pub(crate) answer: bool,
}

/// Of the header.
const HEADER: usize = 48;
/// No frame is longer.
pub(crate) const LENGTH_MAX: u64 = 1 << 20;

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

impl Frame {
    /// The answer to this request.
    pub(crate) fn answered(self) -> Frame {
        let length = if let Wish::Large(bytes) = self.wish { u64::from(bytes) } else { self.length };
        Frame { length, answer: true, ..self }
    }

    pub(crate) fn wants_answer(self) -> bool {
        !matches!(self.wish, Wish::Silence | Wish::Reset)
    }

    fn words(self) -> [u64; 4] {
        [self.identity, self.sequence, self.wish.to_word(), self.length]
    }

    fn seal(self) -> u64 {
        self.words().iter().fold(u64::from(self.answer), |seal, word| mix(seal ^ word))
    }

    fn body(self) -> Vec<u8> {
        let key = self.seal();
        let words = self.length.div_ceil(8);
        let mut body: Vec<u8> = (0..words).flat_map(|n| mix(key ^ n).to_le_bytes()).collect();
        body.truncate(self.length as usize);
        body
    }
}

/// Runs over the words of what is sent, frame by frame.
#[derive(Clone, Copy, Default)]
struct Checksum(u64);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) -> u64 {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 =
                (self.0 ^ u64::from_le_bytes(word)).rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.0
    }
}

/// What is to be sent, and what was.
#[derive(Default)]
pub(crate) struct Outgoing {
    checksum: Checksum,
    unsent: VecDeque<u8>,
}

impl Outgoing {
    pub(crate) fn push(&mut self, frame: Frame) {
        let body = frame.body();
        let checksum = self.checksum.add(&body);
        for word in frame.words().into_iter().chain([frame.seal(), checksum]) {
            self.unsent.extend(word.to_le_bytes());
        }
        self.unsent.extend(body);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty()
    }

    /// One write. What was not taken is kept, also if this is dropped.
    pub(crate) async fn write(&mut self, stream: &TcpStream) -> Result<(), Error> {
        let (first, _) = self.unsent.as_slices();
        let written = stream.write(first).await?;
        self.unsent.drain(..written);
        Ok(())
    }
}

/// What a reader may come upon but a frame.
#[derive(Debug)]
pub(crate) enum Bad {
    Failed(Error),
    /// The end, between two frames.
    End,
    /// The end, within one.
    Torn,
    /// As if one bit had been changed on the way.
    Damaged,
    /// It belongs elsewhere. This never happens.
    Astray(String),
}

/// What has come and is no frame yet.
pub(crate) struct Incoming {
    checksum: Checksum,
    bytes: Vec<u8>,
    answers: bool,
}

impl Incoming {
    pub(crate) fn new(answers: bool) -> Incoming {
        Incoming { checksum: Checksum::default(), bytes: Vec::new(), answers }
    }

    /// How many bytes have come of a frame that is not whole.
    pub(crate) fn partial(&self) -> usize {
        self.bytes.len()
    }

    /// One read. What has come is kept, also if this is dropped.
    pub(crate) async fn read(&mut self, stream: &TcpStream) -> Result<(), Bad> {
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(0) if self.bytes.is_empty() => Err(Bad::End),
            Ok(0) => Err(Bad::Torn),
            Ok(read) => {
                self.bytes.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(error) => Err(Bad::Failed(error)),
        }
    }

    /// The next frame, if it is whole.
    pub(crate) fn frame(&mut self) -> Result<Option<Frame>, Bad> {
        if self.bytes.len() < HEADER {
            return Ok(None);
        }
        let word = |n: usize| u64::from_le_bytes(self.bytes[n * 8..][..8].try_into().expect("eight"));
        let Some(wish) = Wish::from_word(word(2)) else { return Err(Bad::Damaged) };
        let (identity, sequence, length) = (word(0), word(1), word(3));
        let frame = Frame { identity, sequence, wish, length, answer: self.answers };
        if word(4) != frame.seal() || length > LENGTH_MAX {
            return Err(Bad::Damaged);
        }
        let sent_checksum = word(5);
        let end = HEADER + length as usize;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let (body, wanted) = (&bytes[HEADER..], frame.body());
        let wrong: Vec<usize> = (0..body.len()).filter(|&at| body[at] != wanted[at]).collect();
        match wrong[..] {
            [] if self.checksum.add(body) == sent_checksum => Ok(Some(frame)),
            // The bit may have been one of the checksum.
            [] if (self.checksum.0 ^ sent_checksum).count_ones() == 1 => Err(Bad::Damaged),
            [at] if body[at] ^ wanted[at] == 0x20 => Err(Bad::Damaged),
            _ => Err(Bad::Astray(format!("{} bytes of another frame under {frame:?}", wrong.len()))),
        }
    }
}

/// Of which connection of which client; from it follow its address and what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) slot: u32,
    pub(crate) life: u32,
}

/// Addresses of 127.0.0.0/8 from 127.2.0.0 on, some left out at the end.
const ADDRESSES: u32 = (1 << 24) - 4 * (1 << 16);

impl Identity {
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.life)
    }

    pub(crate) fn from_word(word: u64) -> Identity {
        Identity { slot: (word >> 32) as u32, life: word as u32 }
    }

    /// The address that only this connection has, until there have been some thousand of its slot.
    pub(crate) fn address(self, slots: u32) -> std::net::Ipv4Addr {
        let number = self.life % (ADDRESSES / slots) * slots + self.slot;
        std::net::Ipv4Addr::from_bits(0x7f02_0000 + number)
    }

    /// A quarter goes straight to the server: nothing may happen to it that was not asked for.
    pub(crate) fn is_direct(self) -> bool {
        self.slot.is_multiple_of(4)
    }

    pub(crate) fn faults(self, slots: u32, seed: u64) -> Faults {
        let client = std::net::SocketAddr::from((self.address(slots), 0));
        if self.is_direct() { Faults::NONE } else { Faults::drawn(seed, client) }
    }
}
