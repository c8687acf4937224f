//! [`Random`]: what nobody can guess, from the kernel's generator (getrandom(2)).

use std::io;

/// Read ahead, so that a query costs about one system call.
const AHEAD: usize = 64;

/// Numbers for ids, ports and capitals.
pub(super) struct Random {
    ahead: [u8; AHEAD],
    used: usize,
}

impl Random {
    pub(super) fn new() -> Random {
        Random { ahead: [0; AHEAD], used: AHEAD }
    }

    /// A number that is as likely as any other.
    pub(super) fn number(&mut self) -> io::Result<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    /// 256 coins.
    pub(super) fn bits(&mut self) -> io::Result<[u8; 32]> {
        self.take()
    }

    fn take<const BYTES: usize>(&mut self) -> io::Result<[u8; BYTES]> {
        if AHEAD - self.used < BYTES {
            getrandom::fill(&mut self.ahead)?;
            self.used = 0;
        }
        let mut taken = [0; BYTES];
        taken.copy_from_slice(&self.ahead[self.used..self.used + BYTES]);
        // What was used is not kept.
        self.ahead[self.used..self.used + BYTES].fill(0);
        self.used += BYTES;
        Ok(taken)
    }
}
