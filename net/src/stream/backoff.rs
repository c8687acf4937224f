//! [`Backoff`]: what a listener does that has run out of descriptors.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use punctual_reactor::{Instant, count_accept_backoff};

use crate::pause::Pause;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);
/// No more than one warning in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A pause of 5 ms, doubled each time up to 1 s, until an accept succeeds: the same as Go's.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Pause,
    failures: Cell<u64>,
    warned_at: Cell<Option<Instant>>,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            pause: Pause::new(FIRST, LONGEST),
            failures: Cell::default(),
            warned_at: Cell::default(),
        }
    }
}

impl Backoff {
    pub(super) fn pause(&self) -> &Pause {
        &self.pause
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Counts a failure, and begins the next pause.
    pub(super) fn failed(&self, error: &io::Error) {
        let pause = self.pause.begin();
        self.failures.set(self.failures.get() + 1);
        count_accept_backoff();
        let now = Instant::now();
        if self.warned_at.get().is_none_or(|at| at + WARN_EVERY <= now) {
            self.warned_at.set(Some(now));
            let failures = self.failures.get();
            tracing::warn!(%error, failures, ?pause, "cannot accept: trying again after a pause");
        }
    }
}

/// Whether an accept failed for want of descriptors or memory: another try soon would fail too.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].iter().any(|e| errno == Some(*e))
}

/// Whether an accept failed over the one connection that it took from the queue (accept(2), "Error
/// handling"): the next may be fine.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    let of_one = [
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EPROTO,
        libc::EPERM,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
        libc::ETIMEDOUT,
    ];
    let errno = error.raw_os_error();
    of_one.iter().any(|e| errno == Some(*e)) || is_no_net(errno)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_no_net(errno: Option<i32>) -> bool {
    errno == Some(libc::ENONET)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_no_net(_: Option<i32>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::{Runtime, VirtualClock};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    #[test]
    fn pol_11_the_pause_doubles_from_5_ms_to_1_s_and_starts_over() {
        let emfile = io::Error::from_raw_os_error(libc::EMFILE);
        let backoff = Backoff::default();
        let seen: Vec<_> = (0..10).map(|_| backoff.pause().begin().as_millis()).collect();
        assert_eq!(seen, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(!backoff.pause().is_over());
        backoff.pause().succeeded();
        assert!(backoff.pause().is_over());
        backoff.failed(&emfile);
        assert_eq!(backoff.failures(), 1);
        assert_eq!(backoff.pause().begin().as_millis(), 10, "that was the first");
    }

    /// Counts what is told.
    #[derive(Default)]
    struct Told(AtomicU64);

    impl Subscriber for Told {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            // The loop has its own to say of who moves the clock for so long.
            let ours = event.metadata().target().ends_with("backoff");
            self.0.fetch_add(ours.into(), Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_listener_that_is_deaf_for_a_minute_says_so_six_times() {
        let told = Arc::new(Told::default());
        let clock = VirtualClock::new();
        let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
        tracing::subscriber::with_default(told.clone(), || {
            runtime.block_on(async {
                let emfile = io::Error::from_raw_os_error(libc::EMFILE);
                let backoff = Backoff::default();
                for _ in 0..60 * 200 {
                    backoff.failed(&emfile);
                    clock.advance(FIRST);
                }
            });
        });
        assert_eq!(told.0.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn x12_errors_are_told_apart() {
        let of = io::Error::from_raw_os_error;
        assert!(is_exhaustion(&of(libc::EMFILE)) && is_exhaustion(&of(libc::ENFILE)));
        assert!(
            is_of_one_connection(&of(libc::ECONNABORTED)) && is_of_one_connection(&of(libc::EPROTO))
        );
        assert!(!is_exhaustion(&of(libc::EBADF)) && !is_of_one_connection(&of(libc::EBADF)));
        assert!(
            !is_of_one_connection(&of(libc::EINVAL)),
            "the listener was shut down: a loop would spin"
        );
    }
}
