//! The sleeping part of a turn: arm, park, poll, unpark; or spin; or, on a virtual clock, jump.

use std::io;
use std::time::Duration;

use crate::clock::VirtualClock;
use crate::drift::{HELD_UP, Wait};
use crate::instant::Instant;
use crate::reactor::{ALARM, Reactor};
use crate::source::NEVER;

/// A poll that does not wait takes about so long; what happens so shortly before a deadline is seen in the next turn.
const LAST_POLL_NS: u64 = 1_000;

/// A sleep in somebody else's poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    /// When it was prepared.
    pub(crate) at_ns: u64,
    /// When the kernel was asked to end it.
    pub(crate) ends_ns: u64,
}

impl Reactor {
    /// Sleeps until an event, the next alarm or `limit_ns`, whichever comes first.
    pub(crate) fn wait_until(&mut self, limit_ns: u64) -> io::Result<()> {
        let alarm = self.timers.alarm();
        let alarm_ns = alarm.map_or(NEVER, |alarm| alarm.at_ns);
        let target_ns = alarm_ns.min(limit_ns);
        let now_ns = if target_ns == 0 { self.now_ns } else { self.read_clock_unless_fresh() };
        if target_ns <= now_ns {
            return self.look();
        }
        let spin = alarm.is_some_and(|alarm| alarm.exact && alarm.at_ns == target_ns);
        if self.remote.park() { self.sleep(target_ns, spin) } else { self.look() }
    }

    /// Says that the loop runs, and learns whether remote work has come.
    pub(crate) fn unpark(&mut self) {
        if self.remote.unpark() {
            self.inbox.notified();
        }
    }

    /// Polls without waiting.
    fn look(&mut self) -> io::Result<()> {
        self.poll_once(Some(Duration::ZERO))?;
        let woke_ns = self.read_clock();
        self.close_turn(woke_ns);
        self.wait = match self.prepared.take() {
            None => {
                let held_up_ns = self.held_up_until(woke_ns);
                Wait { slept: false, armed_ns: woke_ns, woke_ns, held_up_ns }
            }
            Some(Prepared { at_ns, ends_ns: armed_ns }) => {
                self.metrics.parked_ns += woke_ns - at_ns;
                Wait { slept: true, armed_ns, woke_ns, ..self.wait }
            }
        };
        Ok(())
    }

    /// What [`Wait::held_up_ns`] becomes with the turn that ends now. A virtual clock moves as it is told.
    fn held_up_until(&self, now_ns: u64) -> u64 {
        let Wait { woke_ns, held_up_ns, .. } = self.wait;
        let took_ns = now_ns.saturating_sub(woke_ns);
        let long = took_ns >= HELD_UP.as_nanos() as u64;
        let counts = long && woke_ns > 0 && self.clock.as_virtual().is_none();
        held_up_ns + if counts { took_ns } else { 0 }
    }

    /// Sleeps until `target_ns` or an event; if it may `spin`, wakes a little before and spins the rest.
    fn sleep(&mut self, target_ns: u64, spin: bool) -> io::Result<()> {
        self.prepared = None;
        let slept_at_ns = self.now_ns;
        self.close_turn(slept_at_ns);
        let held_up_ns = self.held_up_until(self.now_ns);
        let lead_ns = match &mut self.spinner {
            Some(spinner) if spin => spinner.lead(target_ns, self.now_ns, self.serves_tasks),
            _ => 0,
        };
        let wake_ns = target_ns - lead_ns;
        let mut armed_ns = target_ns;
        let sleeps = self.now_ns < wake_ns;
        if sleeps {
            armed_ns = self.poll_until(wake_ns)?;
        } else {
            self.events.clear();
        }
        let woke_ns = self.read_clock();
        self.metrics.parked_ns += woke_ns - slept_at_ns;
        if let Some(spinner) = &mut self.spinner
            && self.events.iter().all(|event| event.token() == ALARM)
        {
            if woke_ns > armed_ns {
                spinner.learn(woke_ns - armed_ns);
            }
            if lead_ns > 0 && sleeps && self.serves_tasks && woke_ns < target_ns {
                spinner.rehearse(target_ns, woke_ns);
                self.take_alarm();
            } else if lead_ns > 0 {
                self.spin(target_ns)?;
                armed_ns = target_ns;
            }
        }
        self.wait = Wait { slept: true, armed_ns, woke_ns: self.now_ns, held_up_ns };
        Ok(())
    }

    /// Polls until an event or `at_ns`; returns when the kernel had been asked to end it. An interrupted
    /// wait is resumed with what is left of it.
    fn poll_until(&mut self, at_ns: u64) -> io::Result<u64> {
        #[cfg(all(
            feature = "test",
            target_os = "linux",
            target_env = "gnu",
            target_pointer_width = "64"
        ))]
        self.check_before_sleep(at_ns);
        loop {
            let setting = self.alarm.set(at_ns, self.now_ns)?;
            self.metrics.settimes += u64::from(setting.settime);
            self.count_poll(setting.timeout);
            match self.poll.poll(&mut self.events, setting.timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.read_clock();
                }
                result => return result.map(|()| setting.ends_ns),
            }
        }
    }

    /// Polls without sleeping until `target_ns` or an event. At the very end it looks at nothing but the clock, so that no poll goes on
    /// beyond the deadline.
    fn spin(&mut self, target_ns: u64) -> io::Result<()> {
        self.take_alarm();
        let began_ns = self.now_ns;
        while self.read_clock() < target_ns {
            if target_ns - self.now_ns < LAST_POLL_NS {
                std::hint::spin_loop();
                continue;
            }
            self.metrics.spin_polls += 1;
            self.poll.poll(&mut self.events, Some(Duration::ZERO)).or_else(if_interrupted)?;
            if !self.events.is_empty() {
                self.read_clock();
                break;
            }
        }
        let spun_ns = self.now_ns - began_ns;
        self.metrics.spun_ns += spun_ns;
        if let Some(spinner) = &mut self.spinner {
            spinner.spent(spun_ns);
        }
        Ok(())
    }

    /// Sees off the event of an alarm that only announced a spin.
    fn take_alarm(&mut self) {
        if self.events.iter().any(|event| event.token() == ALARM) {
            self.alarm.went_off();
        }
        self.events.clear();
    }

    /// A sleep in somebody else's poll, on a virtual clock: there is none if time can jump instead.
    pub(crate) fn prepare_virtual(&mut self, clock: &VirtualClock) -> Option<Duration> {
        let next = if self.waiting_sides == 0 { self.next_deadline() } else { None };
        next.map(|deadline| {
            clock.set(deadline);
            self.metrics.parked_ns += deadline.as_nanos().saturating_sub(self.now_ns);
            self.ledger.nobody_until(deadline.as_nanos());
            Duration::ZERO
        })
    }

    fn count_poll(&mut self, timeout: Option<Duration>) {
        self.metrics.polls += 1;
        self.metrics.zero_polls += u64::from(timeout == Some(Duration::ZERO));
    }

    fn poll_once(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            self.count_poll(timeout);
            match self.poll.poll(&mut self.events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// A virtual clock jumps to the next deadline when nothing else is to be done, but not past an
    /// operation that waits on a real socket.
    pub(crate) fn wait_virtual(&mut self, clock: &VirtualClock, limit_ns: u64) -> io::Result<()> {
        self.look()?;
        self.unpark();
        let now_ns = self.now_ns;
        let next_ns = self.timers.next_deadline().unwrap_or(NEVER);
        let idle = self.events.is_empty() && !self.inbox.may_hold_work();
        if !idle || limit_ns <= now_ns || next_ns <= now_ns {
            return Ok(());
        }
        let target_ns = next_ns.min(limit_ns);
        if self.waiting_sides == 0 && target_ns < NEVER {
            clock.set(Instant::from_nanos(target_ns));
            self.metrics.parked_ns += self.read_clock() - now_ns;
            return Ok(());
        }
        if self.remote.park() {
            let timeout = (limit_ns < NEVER).then(|| Duration::from_nanos(limit_ns - now_ns));
            self.poll_once(timeout)?;
        }
        Ok(())
    }
}

/// An interrupted poll found nothing.
fn if_interrupted(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
