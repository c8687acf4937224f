//! [`Timers`]: one wheel per leeway class, drained as if they were one.

use std::num::NonZeroU32;

use punctual_timer_wheel as wheel;
use wheel::{Key, NEVER, Tick, Wheel};

use crate::leeway::Leeway;

/// Whose deadline a wheel entry is: the index of a source or of a plain timer. The entry dies with its
/// owner, so an index is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Source(u32),
    Timer(u32),
    Scope(u32),
}

/// What is below of an index in the word that names an owner.
const INDEX_BITS: u32 = 30;

impl Due {
    /// As one word, under which the wheel knows it: a number for what it is, and its index.
    #[inline]
    fn name(self) -> NonZeroU32 {
        let (what, index) = match self {
            Due::Source(index) => (const { NonZeroU32::new(1 << INDEX_BITS).unwrap() }, index),
            Due::Timer(index) => (const { NonZeroU32::new(2 << INDEX_BITS).unwrap() }, index),
            Due::Scope(index) => (const { NonZeroU32::new(3 << INDEX_BITS).unwrap() }, index),
        };
        // As many would not fit in memory, nor in a wheel.
        assert!(index < (1 << INDEX_BITS) - 1, "there are more deadlines than a wheel holds");
        what | index
    }

    #[inline]
    fn of_name(name: NonZeroU32) -> Due {
        let index = name.get() & ((1 << INDEX_BITS) - 1);
        match name.get() >> INDEX_BITS {
            1 => Due::Source(index),
            2 => Due::Timer(index),
            _ => Due::Scope(index),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    class: Leeway,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Wheel(Key),
    /// It is the one that was the so-manieth in hand.
    Hand(u32),
}

/// A timer that is in no wheel.
#[derive(Clone, Copy, Debug)]
struct InHand {
    number: u32,
    deadline_ns: u64,
    leeway: Leeway,
    due: Due,
    /// Whether its time had come when they were looked at last.
    is_due: bool,
}

/// When the loop should wake next for a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) at_ns: u64,
    /// Whether the deadline behind it takes no leeway.
    pub(crate) exact: bool,
}

/// All timers of a loop.
///
/// A timer of its own that comes before all others is kept in hand, if nothing is, and never sees a wheel: most loops wait for one
/// sleep after the other. What is armed later may still come before it.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Made at first use: most loops use two or three classes.
    wheels: [Option<Box<Wheel<()>>>; Leeway::COUNT],
    in_hand: Option<InHand>,
    /// How many have been in hand.
    hands: u32,
    tick: Tick,
    now_ns: u64,
    /// What is next, as long as nothing has been touched.
    outlook: Option<Outlook>,
    /// Whether an advance has made something due that was not popped yet.
    due: bool,
    /// The wheels in which some of it is, a bit each.
    wheels_due: u8,
}

/// What is next of all timers together.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    /// The earliest deadline; [`NEVER`] if there is none.
    deadline_ns: u64,
    /// That of those in the wheels.
    wheels_ns: u64,
    alarm: Option<Alarm>,
}

impl Outlook {
    /// Of no timers.
    const EMPTY: Outlook = Outlook { deadline_ns: NEVER, wheels_ns: NEVER, alarm: None };

    fn add(&mut self, deadline_ns: u64, leeway: Leeway) {
        self.deadline_ns = self.deadline_ns.min(deadline_ns);
        let at_ns = deadline_ns.saturating_add(leeway.as_nanos());
        let exact = leeway == Leeway::NONE;
        let earlier = |alarm: Alarm| at_ns < alarm.at_ns || exact && at_ns == alarm.at_ns;
        if self.alarm.is_none_or(earlier) {
            self.alarm = Some(Alarm { at_ns, exact });
        }
    }
}

/// How long a wheel may be left alone with nothing due: it files by the distance from where it stands.
const ADVANCE_EVERY_NS: u64 = 1 << 20;

/// What may be late is filed by wider ticks: a wake-up takes a few slots of it, to which most came at once. Slots for moments that
/// nobody wakes for would cost a step down for each timer, and wider ones more of sorting.
fn tick_of(leeway: Leeway, tick: Tick) -> Tick {
    let wide = Tick::at_most(leeway.as_nanos() / 2);
    if wide.as_nanos() > tick.as_nanos() { wide } else { tick }
}

impl Timers {
    pub(crate) fn new(now_ns: u64, tick: Tick) -> Timers {
        Timers {
            wheels: Default::default(),
            in_hand: None,
            hands: 0,
            tick,
            now_ns,
            outlook: None,
            due: false,
            wheels_due: 0,
        }
    }

    pub(crate) fn insert(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) -> TimerKey {
        if matches!(due, Due::Timer(_)) && self.in_hand.is_none() && deadline_ns < self.first_ns() {
            return self.take_in_hand(deadline_ns, leeway, due);
        }
        let key = self.insert_in_wheel(deadline_ns, leeway, due);
        TimerKey { class: leeway, place: Place::Wheel(key) }
    }

    /// The same for the source at `index`. There is at most one, whose name is the source's: to know its node, which this returns,
    /// and its class is enough.
    pub(crate) fn insert_source(&mut self, deadline_ns: u64, leeway: Leeway, index: u32) -> u32 {
        self.insert_in_wheel(deadline_ns, leeway, Due::Source(index)).index()
    }

    pub(crate) fn cancel_source(&mut self, node: u32, class: Leeway, index: u32) {
        let key_there = Key::named(node, Due::Source(index).name());
        self.cancel(TimerKey { class, place: Place::Wheel(key_there) });
    }

    /// Its owner holds one timer at most, so the owner's name is its own.
    #[inline]
    fn insert_in_wheel(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) -> Key {
        // What is next can only become earlier by it: whoever arms many at once has not to look for it each time.
        if let Some(outlook) = self.outlook.as_mut().filter(|_| deadline_ns != NEVER) {
            outlook.add(deadline_ns, leeway);
            outlook.wheels_ns = outlook.wheels_ns.min(deadline_ns);
        }
        let (now_ns, tick) = (self.now_ns, self.tick);
        let wheel = self.wheels[leeway.class()]
            .get_or_insert_with(|| Box::new(Wheel::with_tick(now_ns, tick_of(leeway, tick))));
        wheel.insert_named(deadline_ns, (), due.name())
    }

    fn take_in_hand(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) -> TimerKey {
        if let Some(outlook) = &mut self.outlook {
            outlook.add(deadline_ns, leeway);
        }
        // After 2^32 of them a key that was kept for so long could name another: those who keep one take it out first.
        self.hands = self.hands.wrapping_add(1);
        let number = self.hands;
        self.in_hand = Some(InHand { number, deadline_ns, leeway, due, is_due: false });
        TimerKey { class: leeway, place: Place::Hand(number) }
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.outlook = None;
        match key.place {
            Place::Hand(number) => drop(self.in_hand.take_if(|hand| hand.number == number)),
            Place::Wheel(key_there) => {
                if let Some(wheel) = &mut self.wheels[key.class.class()] {
                    wheel.cancel(key_there);
                }
            }
        }
    }

    /// Moves a timer; `false` if it has fired or was cancelled.
    pub(crate) fn reset(&mut self, key: TimerKey, deadline_ns: u64) -> bool {
        self.outlook = None;
        match key.place {
            Place::Hand(number) => {
                let hand = self.in_hand.as_mut().filter(|hand| hand.number == number);
                hand.map(|hand| (hand.deadline_ns, hand.is_due) = (deadline_ns, false)).is_some()
            }
            Place::Wheel(key_there) => {
                let wheel = self.wheels[key.class.class()].as_mut();
                wheel.is_some_and(|wheel| wheel.reset(key_there, deadline_ns))
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        let in_wheels: usize = self.wheels.iter().flatten().map(|wheel| wheel.len()).sum();
        in_wheels + usize::from(self.in_hand.is_some())
    }

    /// The earliest deadline, or a moment before it (see [`Wheel::next_deadline`]).
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        Some(self.outlook().deadline_ns).filter(|at| *at != NEVER)
    }

    /// The earliest deadline plus leeway: by then the loop has to be awake.
    pub(crate) fn alarm(&mut self) -> Option<Alarm> {
        self.outlook().alarm
    }

    #[inline]
    fn outlook(&mut self) -> Outlook {
        match self.outlook {
            Some(outlook) => outlook,
            None => self.look_out(),
        }
    }

    /// The earliest deadline, or a moment before it.
    #[inline]
    fn first_ns(&mut self) -> u64 {
        match &self.outlook {
            Some(outlook) => outlook.deadline_ns,
            None => self.look_out().deadline_ns,
        }
    }

    #[inline(never)]
    fn look_out(&mut self) -> Outlook {
        let mut outlook = Outlook::EMPTY;
        for leeway in Leeway::all() {
            let Some(wheel) = &mut self.wheels[leeway.class()] else { continue };
            let Some(deadline_ns) = wheel.next_deadline().filter(|at| *at != NEVER) else { continue };
            outlook.add(deadline_ns, leeway);
        }
        outlook.wheels_ns = outlook.deadline_ns;
        if let Some(hand) = self.in_hand.filter(|hand| hand.deadline_ns != NEVER) {
            outlook.add(hand.deadline_ns, hand.leeway);
        }
        self.outlook = Some(outlook);
        outlook
    }

    /// Makes up to `fires` of the timers due by `now_ns` ready to be popped. Returns whether that was
    /// all of them.
    pub(crate) fn advance(&mut self, now_ns: u64, fires: usize) -> bool {
        let Outlook { deadline_ns, wheels_ns, .. } = self.outlook();
        let lately = now_ns < self.now_ns.saturating_add(ADVANCE_EVERY_NS);
        if now_ns < deadline_ns && lately {
            return true;
        }
        let complete = now_ns < wheels_ns && lately || self.advance_wheels(now_ns, fires);
        let before = if complete { None } else { self.peek_wheels() };
        if let Some(hand) = self.in_hand.as_mut().filter(|hand| hand.deadline_ns <= now_ns) {
            // What is left in the wheels for the next turn may come before it, unless it comes before all.
            hand.is_due = before.is_none_or(|(first_ns, _)| hand.deadline_ns <= first_ns);
            self.due |= hand.is_due;
        }
        complete
    }

    fn advance_wheels(&mut self, now_ns: u64, fires: usize) -> bool {
        self.now_ns = now_ns;
        let budget = wheel::Budget { fires, ..wheel::Budget::default() };
        let mut complete = true;
        for (class, wheel) in self.wheels.iter_mut().enumerate() {
            let Some(wheel) = wheel else { continue };
            self.outlook = None;
            complete &= wheel.advance(now_ns, budget).complete;
            self.wheels_due |= u8::from(wheel.peek().is_some()) << class;
        }
        self.due |= self.wheels_due != 0;
        complete
    }

    /// Takes out the earliest due timer of all classes.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, Due)> {
        if !self.due {
            return None;
        }
        if self.in_hand.is_none_or(|hand| !hand.is_due) && self.wheels_due.is_power_of_two() {
            return self.pop_of(self.wheels_due.trailing_zeros() as usize);
        }
        self.pop_first()
    }

    /// Where only one wheel has any.
    #[inline]
    fn pop_of(&mut self, class: usize) -> Option<(u64, Due)> {
        self.outlook = None;
        let expired = self.wheels[class % Leeway::COUNT].as_mut().and_then(|wheel| wheel.pop());
        if expired.is_none() {
            (self.wheels_due, self.due) = (0, false);
        }
        expired.map(|expired| (expired.deadline, Due::of_name(expired.key.name())))
    }

    fn pop_first(&mut self) -> Option<(u64, Due)> {
        let in_wheels = self.peek_wheels();
        // One as late as that was armed after it.
        let hand = self.in_hand.take_if(|hand| {
            hand.is_due && in_wheels.is_none_or(|(deadline_ns, _)| hand.deadline_ns <= deadline_ns)
        });
        if let Some(hand) = hand {
            let nothing_left = self.outlook.is_some_and(|outlook| outlook.wheels_ns == NEVER);
            self.outlook = nothing_left.then_some(Outlook::EMPTY);
            return Some((hand.deadline_ns, hand.due));
        }
        self.outlook = None;
        let expired = in_wheels.and_then(|(_, class)| self.wheels[class].as_mut()?.pop());
        self.due = expired.is_some();
        expired.map(|expired| (expired.deadline, Due::of_name(expired.key.name())))
    }

    /// The deadline of the earliest due timer in the wheels, and its class.
    fn peek_wheels(&mut self) -> Option<(u64, usize)> {
        let (mut first, mut left) = (None, self.wheels_due);
        while left != 0 {
            let class = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(deadline_ns) = self.wheels[class].as_ref().and_then(|wheel| wheel.peek()) else {
                self.wheels_due &= !(1 << class);
                continue;
            };
            if first.is_none_or(|(first_ns, _)| deadline_ns < first_ns) {
                first = Some((deadline_ns, class));
            }
        }
        first
    }

    /// Whether a due timer may wait to be popped.
    pub(crate) fn has_due(&self) -> bool {
        self.due
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
