//! [`Backoff`]: what a listener does that has run out of descriptors.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use punctual_reactor::Instant;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);
/// No more than one warning in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A pause of 5 ms, doubled each time up to 1 s, until an accept succeeds: the same as Go's.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    retry_at: Cell<Option<Instant>>,
    pause: Cell<Option<Duration>>,
    failures: Cell<u64>,
    warned_at: Cell<Option<Instant>>,
}

impl Backoff {
    /// When to try again, if it is backing off.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.get()
    }

    /// Whether an accept may be tried now.
    pub(super) fn is_over(&self) -> bool {
        self.retry_at.get().is_none_or(|at| at <= Instant::now())
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.get()
    }

    pub(super) fn succeeded(&self) {
        self.retry_at.set(None);
        self.pause.set(None);
    }

    /// The pause has been waited for; the next failure begins a longer one.
    pub(super) fn over(&self) {
        self.retry_at.set(None);
    }

    /// Counts a failure, and begins the next pause.
    pub(super) fn failed(&self, error: &io::Error) {
        let now = Instant::now();
        let pause = self.pause.get().map_or(FIRST, |pause| (pause * 2).min(LONGEST));
        self.pause.set(Some(pause));
        self.retry_at.set(Some(now + pause));
        self.failures.set(self.failures.get() + 1);
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

    #[test]
    fn pol_11_the_pause_doubles_from_5_ms_to_1_s_and_starts_over() {
        let emfile = io::Error::from_raw_os_error(libc::EMFILE);
        let backoff = Backoff::default();
        let pauses = || {
            backoff.failed(&emfile);
            backoff.pause.get().expect("a pause").as_millis()
        };
        let seen: Vec<_> = (0..10).map(|_| pauses()).collect();
        assert_eq!(seen, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(!backoff.is_over());
        backoff.succeeded();
        assert!(backoff.is_over());
        backoff.failed(&emfile);
        assert_eq!(backoff.pause.get(), Some(FIRST));
        assert_eq!(backoff.failures(), 11);
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
