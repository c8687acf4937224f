//! [`Waker alarm`](AlarmClock): how the kernel is told when to end a sleep.

use std::io;
use std::time::Duration;

use crate::clock::Clock;
use crate::sys::TimerFd;

/// What ends a sleep at a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlarmKind {
    /// A timerfd where there is one, else the poll's timeout.
    #[default]
    Auto,
    /// A timerfd or nothing: building fails where it cannot be had. (On a virtual clock there is nothing to
    /// wake up for, and no alarm of any kind.)
    TimerFd,
    /// The timeout of the poll itself: on epoll in whole milliseconds, rounded up, and with the
    /// kernel's timer slack; for sandboxes that refuse timerfd, and for systems without it.
    PollTimeout,
}

/// No poll is asked to wait longer; a longer wait is several.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The alarm, set lazily: an alarm that is early enough already is left alone. With A the armed time and
/// D the next deadline, A ≤ D holds while the loop sleeps, so it is never late, and it wakes in vain at
/// most once for each time it was set.
#[derive(Debug)]
pub(crate) struct AlarmClock {
    fd: Option<TimerFd>,
    armed_ns: u64,
}

const UNARMED: u64 = u64::MAX;

impl AlarmClock {
    pub(crate) fn new(kind: AlarmKind, clock: &Clock) -> io::Result<AlarmClock> {
        let fd = match (kind, clock.system_id()) {
            // A virtual clock is moved by the loop, not by the kernel.
            (_, None) | (AlarmKind::PollTimeout, _) => None,
            (AlarmKind::TimerFd, Some(id)) => Some(TimerFd::new(id)?),
            (AlarmKind::Auto, Some(id)) => TimerFd::new(id)
                .inspect_err(|error| tracing::debug!(%error, "no timerfd: waits in the poll's unit"))
                .ok(),
        };
        Ok(AlarmClock { fd, armed_ns: UNARMED })
    }

    pub(crate) fn fd(&self) -> Option<&TimerFd> {
        self.fd.as_ref()
    }

    /// Sees to it that a sleep that begins now ends by `at_ns`. Returns the timeout to give the poll,
    /// when it is going to end, and whether the timerfd was set for it.
    pub(crate) fn set(&mut self, at_ns: u64, now_ns: u64) -> io::Result<Setting> {
        let Some(fd) = &self.fd else {
            return Ok(Setting::by_poll(at_ns, now_ns));
        };
        let settime = at_ns < self.armed_ns;
        if settime {
            fd.arm(at_ns)?;
            self.armed_ns = at_ns;
        }
        Ok(Setting { timeout: None, ends_ns: self.armed_ns, settime })
    }

    /// The timerfd's event has come: nothing is armed any more.
    pub(crate) fn went_off(&mut self) {
        self.armed_ns = UNARMED;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) timeout: Option<Duration>,
    pub(crate) ends_ns: u64,
    pub(crate) settime: bool,
}

impl Setting {
    /// Rounded up to the millisecond, as mio does for epoll; kqueue is given the same, a little later
    /// than it needs, so that one arithmetic holds everywhere.
    #[cold]
    #[inline(never)]
    fn by_poll(at_ns: u64, now_ns: u64) -> Setting {
        if at_ns == UNARMED {
            return Setting { timeout: None, ends_ns: UNARMED, settime: false };
        }
        let wait = Duration::from_nanos(at_ns.saturating_sub(now_ns)).min(WAIT_MAX);
        let unit = if cfg!(any(target_os = "linux", target_os = "android")) { 1_000_000 } else { 1 };
        let rounded_ns = (wait.as_nanos() as u64).next_multiple_of(unit);
        Setting {
            timeout: Some(Duration::from_nanos(rounded_ns)),
            ends_ns: now_ns.saturating_add(rounded_ns),
            settime: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_early_enough_is_left_alone() {
        let clock = Clock::monotonic();
        let Ok(mut alarm) = AlarmClock::new(AlarmKind::TimerFd, &clock) else {
            println!("skipped: no timerfd on this system");
            return;
        };
        let now = clock.now().as_nanos();
        let mut settime = |at| alarm.set(at, now).expect("settime").settime;
        let hour = 3_600_000_000_000;
        assert!(settime(now + hour));
        assert!(!settime(now + hour + 1), "a later one costs nothing");
        assert!(!settime(u64::MAX));
        assert!(settime(now + hour - 1), "a nearer one is a system call");
        alarm.went_off();
        assert!(alarm.set(now + hour, now).expect("settime").settime);
    }

    #[test]
    fn t06_the_poll_timeout_is_rounded_up_and_clamped_to_a_day() {
        let ms = |at, now| Setting::by_poll(at, now).timeout.map(|timeout| timeout.as_nanos());
        let unit = if cfg!(target_os = "linux") { 1_000_000 } else { 1 };
        assert_eq!(ms(1_000_001, 1_000_000), Some(unit));
        assert_eq!(ms(5_000_000, 1_000_000), Some(4_000_000));
        assert_eq!(ms(5, 9), Some(0));
        assert_eq!(ms(u64::MAX, 9), None);
        assert_eq!(ms(u64::MAX - 1, 0), Some(WAIT_MAX.as_nanos()));
    }
}
