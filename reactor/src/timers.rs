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

/// A timer of its own, not of a source, from its arming until it fires, is cancelled, or its owner has seen
/// it fire.
#[derive(Debug)]
pub(crate) struct PlainTimer {
    pub(crate) key: TimerKey,
    pub(crate) deadline: Instant,
    /// When the turn began in which it was armed or moved: one that was armed after its deadline is late from then on.
    pub(crate) armed_ns: u64,
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

/// All timers of a loop.
///
/// A timer of its own that comes before all others is kept in hand, if nothing is, and never sees a wheel: most loops wait for one
/// sleep after the other. What is armed later may still come before it.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Made at first use: most loops use two or three classes.
    wheels: [Option<Box<Wheel<Due>>>; Leeway::COUNT],
    in_hand: Option<InHand>,
    /// How many have been in hand.
    hands: u32,
    tick: Tick,
    now_ns: u64,
    /// What is next, as long as nothing has been touched.
    outlook: Option<Outlook>,
    /// Whether an advance has made something due that was not popped yet, and whether some of it is in a wheel.
    due: bool,
    wheels_due: bool,
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
            wheels_due: false,
        }
    }

    pub(crate) fn insert(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) -> TimerKey {
        if matches!(due, Due::Timer(_))
            && self.in_hand.is_none()
            && deadline_ns < self.outlook().deadline_ns
        {
            return self.take_in_hand(deadline_ns, leeway, due);
        }
        // What is next can only become earlier by it: whoever arms many at once has not to look for it each time.
        if let Some(outlook) = self.outlook.as_mut().filter(|_| deadline_ns != NEVER) {
            outlook.add(deadline_ns, leeway);
            outlook.wheels_ns = outlook.wheels_ns.min(deadline_ns);
        }
        let (now_ns, tick) = (self.now_ns, self.tick);
        let wheel =
            self.wheels[leeway.class()].get_or_insert_with(|| Box::new(Wheel::with_tick(now_ns, tick)));
        TimerKey { class: leeway, place: Place::Wheel(wheel.insert(deadline_ns, due)) }
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

    fn look_out(&mut self) -> Outlook {
        let mut outlook = Outlook { deadline_ns: NEVER, wheels_ns: NEVER, alarm: None };
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
        for wheel in self.wheels.iter_mut().flatten() {
            self.outlook = None;
            complete &= wheel.advance(now_ns, budget).complete;
            self.wheels_due |= wheel.peek().is_some();
        }
        self.due |= self.wheels_due;
        complete
    }

    /// Takes out the earliest due timer of all classes.
    pub(crate) fn pop(&mut self) -> Option<(u64, Due)> {
        if !self.due {
            return None;
        }
        self.outlook = None;
        let in_wheels = if self.wheels_due { self.peek_wheels() } else { None };
        // One as late as that was armed after it.
        let hand = self.in_hand.take_if(|hand| {
            hand.is_due && in_wheels.is_none_or(|(deadline_ns, _)| hand.deadline_ns <= deadline_ns)
        });
        if let Some(hand) = hand {
            return Some((hand.deadline_ns, hand.due));
        }
        let wheel = in_wheels.and_then(|(_, class)| self.wheels[class].as_mut());
        let expired = wheel.and_then(|wheel| wheel.pop());
        self.wheels_due = expired.is_some();
        self.due = self.wheels_due;
        expired.map(|expired| (expired.deadline, expired.value))
    }

    /// The deadline of the earliest due timer in the wheels, and its class.
    fn peek_wheels(&self) -> Option<(u64, usize)> {
        let peeks = self.wheels.iter().enumerate();
        let due = peeks.filter_map(|(class, wheel)| Some((wheel.as_ref()?.peek()?, class)));
        due.min_by_key(|(deadline_ns, _)| *deadline_ns)
    }

    /// Whether a due timer may wait to be popped.
    pub(crate) fn has_due(&self) -> bool {
        self.due
    }
}

#[cfg(test)]
mod twin;

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

    #[test]
    fn whatever_is_armed_or_taken_back_the_alarm_is_not_later_than_any_deadline_with_its_leeway() {
        let mut timers = timers();
        let leeways: Vec<_> = Leeway::all().collect();
        let mut armed: Vec<(TimerKey, u64, Leeway)> = Vec::new();
        let (mut random, mut now_ns) = (88_172_645_463_325_252_u64, 1_000_000);
        for step in 0..20_000u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            match random % 8 {
                0..=4 => {
                    let far = [1, 1_000, 1_000_000, 1_000_000_000][(random >> 8) as usize % 4];
                    let deadline_ns = now_ns + (random >> 16) % far;
                    let leeway = leeways[(random >> 12) as usize % leeways.len()];
                    let due = if random & 32 == 0 { Due::Timer(step) } else { Due::Source(step) };
                    armed.push((timers.insert(deadline_ns, leeway, due), deadline_ns, leeway));
                }
                5 if !armed.is_empty() => {
                    let (key, ..) = armed.swap_remove((random >> 8) as usize % armed.len());
                    timers.cancel(key);
                }
                6 => {
                    now_ns += (random >> 8) % 3_000_000;
                    assert!(timers.advance(now_ns, usize::MAX));
                    while let Some((deadline_ns, _)) = timers.pop() {
                        let at = armed.iter().position(|armed| armed.1 == deadline_ns);
                        assert!(deadline_ns <= now_ns, "early");
                        armed.swap_remove(at.expect("it was armed, and has not fired yet"));
                    }
                    assert!(armed.iter().all(|armed| armed.1 > now_ns), "late");
                }
                _ => {}
            }
            let first_ns = armed.iter().map(|armed| armed.1).min().unwrap_or(NEVER);
            let by_ns = armed.iter().map(|(_, at, leeway)| at + leeway.as_nanos()).min();
            assert!(timers.outlook().deadline_ns <= first_ns);
            assert_eq!(timers.alarm().is_some(), by_ns.is_some(), "{random}");
            assert!(timers.alarm().is_none_or(|alarm| Some(alarm.at_ns) <= by_ns), "at step {step}");
            assert_eq!(timers.len(), armed.len());
        }
    }

    #[test]
    fn the_one_in_hand_fires_in_the_order_of_all_and_can_be_moved_and_taken_back() {
        let mut timers = timers();
        let hand = timers.insert(4_000_000, Leeway::NONE, Due::Timer(0));
        assert!(matches!(hand.place, Place::Hand(_)));
        let of_source = timers.insert(3_000_000, Leeway::NONE, Due::Source(1));
        let second = timers.insert(2_500_000, Leeway::NONE, Due::Timer(2));
        assert!(matches!((of_source.place, second.place), (Place::Wheel(_), Place::Wheel(_))));
        assert_eq!((timers.len(), timers.next_deadline()), (3, Some(2_500_000)));
        assert!(!timers.advance(4_000_000, 1), "one is left, and the one in hand comes after it");
        let mut fired: Vec<_> = std::iter::from_fn(|| timers.pop()).collect();
        assert_eq!(fired, [(2_500_000, Due::Timer(2))]);
        assert!(timers.advance(4_000_000, 1));
        fired.extend(std::iter::from_fn(|| timers.pop()));
        let expected =
            [(2_500_000, Due::Timer(2)), (3_000_000, Due::Source(1)), (4_000_000, Due::Timer(0))];
        assert_eq!(fired, expected);
        assert!(!timers.reset(hand, 1) && !timers.has_due());

        let hand = timers.insert(5_000_000, Leeway::MILLISECOND, Due::Timer(3));
        assert!(timers.reset(hand, 9_000_000));
        assert_eq!(timers.alarm(), Some(Alarm { at_ns: 10_000_000, exact: false }));
        assert!(timers.advance(9_000_000, 1));
        assert!(timers.reset(hand, 9_500_000), "due, it can be moved until it is popped");
        assert_eq!(timers.pop(), None);
        assert!(timers.advance(9_500_000, 1));
        timers.cancel(hand);
        assert_eq!((timers.pop(), timers.len(), timers.next_deadline()), (None, 0, None));
    }
}
