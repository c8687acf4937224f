//! [`Clock`]: what a reactor reads its time from.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::instant::Instant;
use crate::sys;

/// The clock a reactor lives by.
///
/// | clock | counts a suspended machine | use |
/// |---|---|---|
/// | [`Clock::monotonic`] | no | the default: `CLOCK_MONOTONIC` |
/// | [`Clock::boottime`] | yes | a deadline that a closed lid must not stretch: `CLOCK_BOOTTIME` |
/// | [`VirtualClock`] | – | tests: time stands still until the loop is idle, then jumps |
///
/// None of them follows the wall clock: setting the date moves no deadline.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System(libc::clockid_t),
    Virtual {
        clock: VirtualClock,
        /// The latest time read: a clock that is set back stands still until it has come that far again.
        latest: Arc<AtomicU64>,
    },
}

impl Clock {
    /// `CLOCK_MONOTONIC`: never set, never stepped, stopped while the machine is suspended.
    #[must_use]
    pub fn monotonic() -> Clock {
        Clock(Kind::System(sys::MONOTONIC))
    }

    /// `CLOCK_BOOTTIME`: as monotonic, and it counts the time suspended.
    ///
    /// # Errors
    /// `Unsupported` where the system has no such clock.
    pub fn boottime() -> io::Result<Clock> {
        sys::BOOTTIME
            .map(|id| Clock(Kind::System(id)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no CLOCK_BOOTTIME here"))
    }

    /// Reads the clock.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System(id) => Instant::from_nanos(sys::clock_now(*id)),
            Kind::Virtual { clock, latest } => read_virtual(clock, latest),
        }
    }

    /// The kernel's name for this clock; a virtual one has none.
    pub(crate) fn system_id(&self) -> Option<libc::clockid_t> {
        match self.0 {
            Kind::System(id) => Some(id),
            Kind::Virtual { .. } => None,
        }
    }

    pub(crate) fn as_virtual(&self) -> Option<&VirtualClock> {
        match &self.0 {
            Kind::System(_) => None,
            Kind::Virtual { clock, .. } => Some(clock),
        }
    }
}

/// Of tests alone: kept out of the way of the system's.
#[cold]
#[inline(never)]
fn read_virtual(clock: &VirtualClock, latest: &AtomicU64) -> Instant {
    let now_ns = clock.now().as_nanos();
    Instant::from_nanos(latest.fetch_max(now_ns, Ordering::AcqRel).max(now_ns))
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::monotonic()
    }
}

impl From<VirtualClock> for Clock {
    fn from(clock: VirtualClock) -> Clock {
        let latest = Arc::new(AtomicU64::new(clock.now().as_nanos()));
        Clock(Kind::Virtual { clock, latest })
    }
}

/// A clock that moves only when it is told to, or when its reactor has nothing left to do.
///
/// An idle reactor moves it straight to its next deadline, so that an hour of timers takes
/// microseconds and fires to the nanosecond. It is not moved while an operation waits on a real socket,
/// whose answer takes real time; [`advance`](VirtualClock::advance) it by hand there. Other threads may read it
/// ([`Handle::now`](crate::Handle::now)); only the loop's own should move it.
#[derive(Clone)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// A clock that stands at one hour past its epoch, so that moments in the past can be named.
    #[must_use]
    pub fn new() -> VirtualClock {
        VirtualClock::starting_at(Instant::from_nanos(3_600_000_000_000))
    }

    /// A clock that stands at `start`.
    #[must_use]
    pub fn starting_at(start: Instant) -> VirtualClock {
        VirtualClock(Arc::new(AtomicU64::new(start.as_nanos())))
    }

    /// Where the clock stands.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// Moves the clock forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now() + duration);
    }

    /// Puts the clock to `at`, also backwards, as a broken machine would. For a reactor and its tasks time
    /// then stands still until the clock has come as far again.
    pub fn set(&self, at: Instant) {
        self.0.store(at.as_nanos(), Ordering::Release);
    }
}

impl Default for VirtualClock {
    fn default() -> VirtualClock {
        VirtualClock::new()
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualClock").field(&self.now()).finish()
    }
}
