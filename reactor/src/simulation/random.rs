//! [`Random`]: numbers that follow from a seed (SplitMix64, Steele and others 2014).

use std::ops::Range;
use std::time::Duration;

/// The same seed gives the same numbers, on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed ^ 0x5bf0_3635_d1c2_a94d }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Whether something that happens so often (0 to 1) happens now. What never happens takes no number.
    pub(crate) fn happens(&mut self, often: f64) -> bool {
        often > 0.0 && (self.next() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64) < often
    }

    /// A time within `range`, mostly near its start: what is slow is rare.
    pub(crate) fn time_ns(&mut self, range: &Range<Duration>) -> u64 {
        let (start, end) = (range.start.as_nanos() as u64, range.end.as_nanos() as u64);
        let width = end.saturating_sub(start);
        let narrowed = width >> self.below(8);
        start + self.below(narrowed.max(1))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
