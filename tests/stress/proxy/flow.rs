//! One direction of a connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::{Fault, Shared};

/// The most that is given on at a time by [`Fault::Trickle`].
const TRICKLE: usize = 64;
/// The most that is held of one direction.
const HELD_MAX: usize = 32 * 1024;

pub(super) struct Flow {
    pub(super) fault: Fault,
    /// With when it may go on.
    held: VecDeque<(Instant, Vec<u8>)>,
    taken: usize,
    given: usize,
    /// Whether what the fault does has been counted.
    counted: bool,
    /// The sender has ended.
    pub(super) ended: bool,
    /// The receiver has been told so, rightly or not.
    pub(super) told_end: bool,
}

/// Why a connection is given up.
pub(super) struct Broken;

impl Flow {
    pub(super) fn new(fault: Fault) -> Flow {
        let held = VecDeque::new();
        Flow { fault, held, taken: 0, given: 0, counted: false, ended: false, told_end: false }
    }

    /// How many bytes have been taken and given.
    pub(super) fn moved(&self) -> usize {
        self.taken + self.given
    }

    /// When the next of what is held may go on, if that is not now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due).filter(|due| *due > now)
    }

    pub(super) fn heal(&mut self, now: Instant) {
        if self.fault.can_heal() {
            self.fault = Fault::None;
            self.held.iter_mut().for_each(|(due, _)| *due = now);
        }
    }

    /// Takes and gives until neither is possible.
    pub(super) fn pump(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        now: Instant,
        shared: &Shared,
    ) -> Result<(), Broken> {
        loop {
            let before = (self.moved(), self.ended);
            self.take(from, now, shared)?;
            self.give(to, now, shared)?;
            if (self.moved(), self.ended) == before {
                break;
            }
        }
        if self.ended && self.held.is_empty() && !self.told_end {
            self.told_end = true;
            // A receiver that has gone meanwhile needs not be told.
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn take(&mut self, mut from: &TcpStream, now: Instant, shared: &Shared) -> Result<(), Broken> {
        let mut bytes = [0; 16 * 1024];
        while !self.ended && self.taken - self.given < HELD_MAX {
            let Some(read) = unless_blocked(from.read(&mut bytes))? else { break };
            let bytes = &mut bytes[..read];
            if read == 0 {
                self.ended = true;
            } else if self.told_end {
                // The receiver believes that it was the end.
                continue;
            }
            let mut due = now;
            match self.fault {
                Fault::Corrupt(at) if (self.taken..self.taken + read).contains(&at) => {
                    bytes[at - self.taken] ^= 0x20;
                    self.count(shared);
                }
                Fault::Delay(delay) => {
                    due += delay;
                    self.count(shared);
                }
                _ => {}
            }
            self.taken += read;
            if read > 0 {
                self.held.push_back((due, bytes.to_vec()));
            }
        }
        Ok(())
    }

    fn give(&mut self, mut to: &TcpStream, now: Instant, shared: &Shared) -> Result<(), Broken> {
        while let Some((due, bytes)) = self.held.front_mut() {
            let room = match self.fault {
                Fault::Stall(at) | Fault::Reset(at) | Fault::HalfClose(at) => {
                    at.saturating_sub(self.given)
                }
                Fault::Trickle(_) => TRICKLE,
                _ => usize::MAX,
            };
            if room == 0 {
                return self.reached(to, shared);
            }
            if *due > now {
                break;
            }
            let length = bytes.len().min(room);
            let Some(written) = unless_blocked(to.write(&bytes[..length]))? else { break };
            bytes.drain(..written);
            self.given += written;
            if bytes.is_empty() {
                self.held.pop_front();
            }
            if let (Fault::Trickle(pause), Some((due, _))) = (self.fault, self.held.front_mut()) {
                *due = now + pause;
                self.count(shared);
            }
        }
        Ok(())
    }

    /// The offset of a fault has been reached, and more would follow.
    fn reached(&mut self, to: &TcpStream, shared: &Shared) -> Result<(), Broken> {
        self.count(shared);
        match self.fault {
            Fault::Reset(_) => return Err(Broken),
            Fault::HalfClose(_) => {
                self.told_end = true;
                self.held.clear();
                self.given = self.taken;
                // As above.
                let _ = to.shutdown(Shutdown::Write);
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, shared: &Shared) {
        if !std::mem::replace(&mut self.counted, true) {
            shared.count(self.fault.kind());
        }
    }
}

fn unless_blocked(result: io::Result<usize>) -> Result<Option<usize>, Broken> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        // Not connected yet is not yet, too.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected
            ) =>
        {
            Ok(None)
        }
        Err(_) => Err(Broken),
    }
}

/// How long what is held back is kept after one end has ended: the other may still be waiting for it.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(5);
