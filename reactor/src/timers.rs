//! [`Timers`]: one wheel per leeway class, drained as if they were one.

use punctual_timer_wheel as wheel;
use wheel::{Key, NEVER, Tick, Wheel};

use crate::drift::Firing;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::waiters::Waiters;
use crate::waits::{Frame, TimerLabel};

/// Whose deadline a wheel entry is: the index of a source or of a plain timer. The entry dies with its
/// owner, so an index is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Source(u32),
    Timer(u32),
    Scope(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    class: Leeway,
    key: Key,
}

/// A timer of its own, not of a source, from its arming until it fires, is cancelled, or its owner has seen
/// it fire.
#[derive(Debug)]
pub(crate) struct PlainTimer {
    pub(crate) key: TimerKey,
    pub(crate) deadline: Instant,
    pub(crate) label: TimerLabel,
    /// In which frame it was polled last.
    pub(crate) within: Frame,
    /// Kept after it has fired, until its owner looks: the timer of a sleep.
    pub(crate) held: bool,
    pub(crate) fired: Option<Firing>,
    /// In which turn it fired.
    pub(crate) fired_in_turn: u64,
    pub(crate) waiters: Waiters,
}

/// When the loop should wake next for a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) at_ns: u64,
    /// Whether the deadline behind it takes no leeway.
    pub(crate) exact: bool,
}

#[derive(Debug)]
pub(crate) struct Timers {
    /// Made at first use: most loops use two or three classes.
    wheels: [Option<Box<Wheel<Due>>>; Leeway::COUNT],
    tick: Tick,
    now_ns: u64,
    /// What is next, as long as no wheel has been touched.
    outlook: Option<Outlook>,
    /// Whether an advance has made something due that was not popped yet.
    due: bool,
}

/// What is next in all wheels together.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    /// The earliest deadline; [`NEVER`] if there is none.
    deadline_ns: u64,
    alarm: Option<Alarm>,
}

/// How long a wheel may be left alone with nothing due: it files by the distance from where it stands.
const ADVANCE_EVERY_NS: u64 = 1 << 20;

impl Timers {
    pub(crate) fn new(now_ns: u64, tick: Tick) -> Timers {
        Timers { wheels: Default::default(), tick, now_ns, outlook: None, due: false }
    }

    pub(crate) fn insert(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) -> TimerKey {
        self.outlook = None;
        let (now_ns, tick) = (self.now_ns, self.tick);
        let wheel =
            self.wheels[leeway.class()].get_or_insert_with(|| Box::new(Wheel::with_tick(now_ns, tick)));
        TimerKey { class: leeway, key: wheel.insert(deadline_ns, due) }
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.outlook = None;
        if let Some(wheel) = &mut self.wheels[key.class.class()] {
            wheel.cancel(key.key);
        }
    }

    /// Moves a timer; `false` if it has fired or was cancelled.
    pub(crate) fn reset(&mut self, key: TimerKey, deadline_ns: u64) -> bool {
        self.outlook = None;
        let wheel = self.wheels[key.class.class()].as_mut();
        wheel.is_some_and(|wheel| wheel.reset(key.key, deadline_ns))
    }

    pub(crate) fn len(&self) -> usize {
        self.wheels.iter().flatten().map(|wheel| wheel.len()).sum()
    }

    /// The earliest deadline, or a moment before it (see [`Wheel::next_deadline`]).
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        Some(self.outlook().deadline_ns).filter(|at| *at != NEVER)
    }

    /// The earliest deadline plus leeway: by then the loop has to be awake.
    pub(crate) fn alarm(&mut self) -> Option<Alarm> {
        self.outlook().alarm
    }

    fn outlook(&mut self) -> Outlook {
        if let Some(outlook) = self.outlook {
            return outlook;
        }
        let mut outlook = Outlook { deadline_ns: NEVER, alarm: None };
        for leeway in Leeway::all() {
            let Some(wheel) = &mut self.wheels[leeway.class()] else { continue };
            let Some(deadline_ns) = wheel.next_deadline().filter(|at| *at != NEVER) else { continue };
            outlook.deadline_ns = outlook.deadline_ns.min(deadline_ns);
            let at_ns = deadline_ns.saturating_add(leeway.as_nanos());
            if outlook.alarm.is_none_or(|alarm| at_ns < alarm.at_ns) {
                outlook.alarm = Some(Alarm { at_ns, exact: leeway == Leeway::NONE });
            }
        }
        self.outlook = Some(outlook);
        outlook
    }

    /// Makes up to `fires` of the timers due by `now_ns` ready to be popped. Returns whether that was
    /// all of them.
    pub(crate) fn advance(&mut self, now_ns: u64, fires: usize) -> bool {
        if now_ns < self.outlook().deadline_ns && now_ns < self.now_ns.saturating_add(ADVANCE_EVERY_NS) {
            return true;
        }
        self.now_ns = now_ns;
        self.outlook = None;
        let budget = wheel::Budget { fires, ..wheel::Budget::default() };
        let mut complete = true;
        for wheel in self.wheels.iter_mut().flatten() {
            complete &= wheel.advance(now_ns, budget).complete;
            self.due |= wheel.peek().is_some();
        }
        complete
    }

    /// Takes out the earliest due timer of all classes.
    pub(crate) fn pop(&mut self) -> Option<(u64, Due)> {
        if !self.due {
            return None;
        }
        self.outlook = None;
        let due = self.wheels.iter_mut().flatten();
        let earliest = due
            .filter_map(|wheel| wheel.peek().map(|at| (at, wheel)))
            .min_by_key(|(deadline_ns, _)| *deadline_ns);
        let expired = earliest.and_then(|(_, wheel)| wheel.pop());
        self.due = expired.is_some();
        expired.map(|expired| (expired.deadline, expired.value))
    }

    /// Whether a due timer may wait to be popped.
    pub(crate) fn has_due(&self) -> bool {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers::new(1_000_000, Tick::default())
    }

    #[test]
    fn classes_fire_in_one_order_of_deadlines() {
        let mut timers = timers();
        let leeways: Vec<_> = Leeway::all().collect();
        for n in 0..50u32 {
            let deadline = 2_000_000 + u64::from(n * 37 % 50) * 10_000;
            timers.insert(deadline, leeways[n as usize % leeways.len()], Due::Timer(n));
        }
        assert!(timers.advance(10_000_000, 1_000));
        let fired: Vec<u64> = std::iter::from_fn(|| timers.pop()).map(|(at, _)| at).collect();
        assert_eq!(fired.len(), 50);
        assert!(fired.is_sorted());
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn the_alarm_is_the_earliest_deadline_plus_leeway() {
        let mut timers = timers();
        assert_eq!(timers.alarm(), None);
        timers.insert(5_000_000, Leeway::MILLISECOND, Due::Timer(0));
        assert_eq!(timers.alarm(), Some(Alarm { at_ns: 6_000_000, exact: false }));
        let exact = timers.insert(5_500_000, Leeway::NONE, Due::Timer(1));
        assert_eq!(timers.alarm(), Some(Alarm { at_ns: 5_500_000, exact: true }));
        assert_eq!(timers.next_deadline(), Some(5_000_000));
        timers.cancel(exact);
        assert_eq!(timers.alarm(), Some(Alarm { at_ns: 6_000_000, exact: false }));
        assert!(!timers.reset(exact, 1));
    }
}
