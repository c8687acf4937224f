//! What Linux offers: epoll with its timeout in milliseconds (the wrong way and the right way round), epoll with its
//! timeout in nanoseconds, and a timerfd in the epoll set.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustix::{
    event::epoll,
    io::Errno,
    time::{self, ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use super::{Kind, Naive, Wait, until};

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            name: "epoll_wait_truncated",
            build: |load| Ok(Naive::boxed(EpollTruncated(EpollMs::new()?), load)),
        },
        Kind {
            name: "epoll_wait_ceil",
            build: |load| Ok(Naive::boxed(EpollCeil(EpollMs::new()?), load)),
        },
        Kind { name: "epoll_pwait2", build: |load| Ok(Naive::boxed(EpollPwait2::new()?, load)) },
        Kind { name: "timerfd", build: |load| Ok(Naive::boxed(Timerfd::new()?, load)) },
    ]
}

/// `CLOCK_MONOTONIC`, which is what `std::time::Instant` reads too.
pub(crate) fn now_ns() -> u64 {
    to_ns(time::clock_gettime(ClockId::Monotonic))
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    to_ns(time::clock_gettime(ClockId::ThreadCPUTime))
}

/// Timer interrupts a second: the coarse clock moves once a tick, and says so as its resolution.
pub(crate) fn tick_hz() -> Option<u64> {
    1_000_000_000u64.checked_div(to_ns(time::clock_getres(ClockId::MonotonicCoarse)))
}

fn to_ns(t: Timespec) -> u64 {
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn to_timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ }
}

/// `epoll_wait(2)`, timeout in milliseconds, nothing in the set unless it is added.
struct EpollMs(Epoll);

impl EpollMs {
    fn new() -> io::Result<Self> {
        Ok(EpollMs(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// One wait. A signal ends it too; whether it ended too soon is for the caller to find out.
    fn wait_ms(&self, timeout: EpollTimeout) -> io::Result<usize> {
        match self.0.wait(&mut [EpollEvent::empty()], timeout) {
            Err(nix::errno::Errno::EINTR) => Ok(0),
            other => Ok(other?),
        }
    }
}

fn millis(ms: u128) -> EpollTimeout {
    EpollTimeout::try_from(ms).unwrap_or(EpollTimeout::MAX)
}

/// The bug: the remaining time is cut to whole milliseconds, so that the last one is 0 and the loop spins through it.
struct EpollTruncated(EpollMs);

impl Wait for EpollTruncated {
    fn wait(&mut self, mut now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        let mut waits = 0;
        while now_ns < deadline_ns {
            self.0.wait_ms(millis(until(now_ns, deadline_ns).as_millis()))?;
            waits += 1;
            now_ns = self::now_ns();
        }
        Ok(waits)
    }
}

/// The usual repair: round up. Never early, and half a millisecond late on average.
struct EpollCeil(EpollMs);

impl Wait for EpollCeil {
    fn wait(&mut self, now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        self.0.wait_ms(millis(until(now_ns, deadline_ns).as_nanos().div_ceil(1_000_000)))?;
        Ok(1)
    }
}

/// `epoll_pwait2(2)` (Linux 5.11): the timeout in nanoseconds, the timer slack as before.
struct EpollPwait2(OwnedFd);

impl EpollPwait2 {
    fn new() -> io::Result<Self> {
        Ok(EpollPwait2(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }
}

impl Wait for EpollPwait2 {
    fn wait(&mut self, now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
        let timeout = to_timespec(deadline_ns - now_ns);
        match epoll::wait(&self.0, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(1),
            Err(error) => Err(error.into()),
        }
    }
}

/// An absolute `CLOCK_MONOTONIC` timerfd in an epoll set, edge-triggered: setting it anew clears the old expiry, so it
/// is never read.
struct Timerfd {
    epoll: EpollMs,
    timer: OwnedFd,
}

impl Timerfd {
    fn new() -> io::Result<Self> {
        let timer = time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let epoll = EpollMs::new()?;
        epoll.0.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        Ok(Timerfd { epoll, timer })
    }
}

impl Wait for Timerfd {
    fn wait(&mut self, _now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        let alarm = Itimerspec { it_interval: to_timespec(0), it_value: to_timespec(deadline_ns) };
        time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &alarm)?;
        let mut waits = 1;
        while self.epoll.wait_ms(EpollTimeout::NONE)? == 0 {
            waits += 1;
        }
        Ok(waits)
    }
}
