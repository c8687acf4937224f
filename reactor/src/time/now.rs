//! The present, as an [`Instant`].

use std::time::Duration;

use crate::executor::context;
use crate::instant::Instant;

impl Instant {
    /// The present, on the clock of the runtime that runs this code. It is read now, never taken from a
    /// time cached by the loop.
    ///
    /// Outside of any runtime it is the monotonic clock's; for a runtime on another clock ask
    /// [`Runtime::now`](crate::Runtime::now) or [`Handle::now`](crate::Handle::now) there.
    #[must_use]
    pub fn now() -> Instant {
        context::now()
    }

    /// The same moment as `at` on the present clock, never before it.
    #[must_use]
    pub fn from_std(at: std::time::Instant) -> Instant {
        // The other clock is read first, so that the time between the reads makes this one later.
        let other = std::time::Instant::now();
        let here = Instant::now();
        match at.checked_duration_since(other) {
            Some(ahead) => here + ahead,
            None => here - (other - at),
        }
    }

    /// How long ago this was; zero if it is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(at: std::time::Instant) -> Instant {
        Instant::from_std(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_std_instant_is_never_converted_to_an_earlier_moment() {
        for ahead in [0, 1, 1_000, 1_000_000_000] {
            let before = Instant::now();
            let std = std::time::Instant::now() + Duration::from_nanos(ahead);
            assert!(Instant::from_std(std) >= before + Duration::from_nanos(ahead));
        }
    }
}
