//! [`Site`]: what all connections of one endpoint share.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Instant, metrics};

use super::limits::Limits;

pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) limits: Limits,
    /// Two looks at the count of turns, the later one not too young to count a rate from the earlier one.
    looks: Cell<[(Instant, u64); 2]>,
}

/// A rate is over at least so long.
const RATE_OVER: Duration = Duration::from_millis(500);

impl Site {
    pub(super) fn new(address: SocketAddr, limits: Limits) -> Site {
        let look = (Instant::now(), metrics().turns);
        Site { address, limits, looks: Cell::new([look; 2]) }
    }

    /// Turns of the loop a second, since somebody last asked.
    pub(super) fn turns_per_second(&self) -> f64 {
        let [mut before, mut last] = self.looks.get();
        let now = (Instant::now(), metrics().turns);
        if now.0 - last.0 >= RATE_OVER {
            (before, last) = (last, now);
            self.looks.set([before, last]);
        }
        let passed = (now.0 - before.0).as_secs_f64();
        if passed > 0.0 { now.1.saturating_sub(before.1) as f64 / passed } else { 0.0 }
    }
}
