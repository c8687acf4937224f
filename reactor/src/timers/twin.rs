//! Tests: random programs against a list that is looked through from end to end.

use super::*;

/// A random number below `below`, from a state that is not 0 (xorshift64).
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) % below
}

struct Live {
    key: TimerKey,
    deadline_ns: u64,
    leeway: Leeway,
    due: Due,
}

struct Pair {
    timers: Timers,
    twin: Vec<Live>,
    now_ns: u64,
}

impl Pair {
    fn new(now_ns: u64) -> Pair {
        Pair { timers: Timers::new(now_ns, Tick::default()), twin: Vec::new(), now_ns }
    }

    fn insert(&mut self, deadline_ns: u64, leeway: Leeway, due: Due) {
        let key = self.timers.insert(deadline_ns, leeway, due);
        assert!(self.twin.iter().all(|live| live.key != key), "a key names one timer");
        self.twin.push(Live { key, deadline_ns, leeway, due });
    }

    fn cancel(&mut self, at: usize) {
        let Live { key, .. } = self.twin.swap_remove(at);
        self.timers.cancel(key);
        assert!(!self.timers.reset(key, self.now_ns), "it is gone");
    }

    fn reset(&mut self, at: usize, deadline_ns: u64) {
        assert!(self.timers.reset(self.twin[at].key, deadline_ns));
        self.twin[at].deadline_ns = deadline_ns;
    }

    /// What is next is neither missed nor invented.
    fn compare(&mut self) {
        assert_eq!(self.timers.len(), self.twin.len());
        let armed = || self.twin.iter().filter(|live| live.deadline_ns != NEVER);
        let first = armed().map(|live| live.deadline_ns).min();
        let next = self.timers.next_deadline();
        assert_eq!(next.is_some(), first.is_some(), "{next:?}, and it is {first:?}");
        assert!(next <= first, "{next:?} is later than {first:?}");
        let latest = armed().map(|live| live.deadline_ns.saturating_add(live.leeway.as_nanos())).min();
        let alarm = self.timers.alarm();
        assert_eq!(alarm.is_some(), latest.is_some());
        assert!(alarm.map(|alarm| alarm.at_ns) <= latest, "{alarm:?} is later than {latest:?}");
        assert!(
            alarm.map(|alarm| alarm.at_ns) >= next,
            "{alarm:?} is before {next:?}, when nothing is due"
        );
    }

    /// Goes on to `now_ns`, and takes out what is due, `fires` a wheel at once.
    fn advance(&mut self, now_ns: u64, fires: usize) {
        self.now_ns = self.now_ns.max(now_ns);
        for round in 0.. {
            let before = self.twin.len();
            let due = self.twin.iter().filter(|live| live.deadline_ns <= self.now_ns).count();
            let complete = self.timers.advance(self.now_ns, fires);
            assert_eq!(self.timers.has_due(), due > 0, "what is due is told, and nothing else");
            let mut last_ns = 0;
            while let Some((deadline_ns, due)) = self.timers.pop() {
                assert!(deadline_ns <= self.now_ns, "early");
                assert!(deadline_ns >= last_ns, "out of order: {last_ns} before {deadline_ns}");
                let at = self.twin.iter().position(|live| live.due == due).expect("it is there, once");
                assert_eq!(self.twin.swap_remove(at).deadline_ns, deadline_ns);
                last_ns = if complete { deadline_ns } else { 0 };
            }
            assert!(!self.timers.has_due());
            let fired = before - self.twin.len();
            assert!(fired <= fires * Leeway::COUNT + 1, "{fired} at once, of {fires} a wheel");
            if complete {
                assert_eq!(fired, due, "all of it");
                break;
            }
            assert!(fired > 0 && round < 10_000, "no progress");
        }
        self.compare();
    }
}

fn play(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut pair = Pair::new(1_000_000 + random(&mut state, 1 << 30));
    let scale = 10 + random(&mut state, 24);
    for n in 0..60u32 {
        let delta = random(&mut state, 1 << scale);
        let at_ns = match random(&mut state, 20) {
            0 => NEVER,
            1 => pair.now_ns,
            2 => pair.now_ns - delta.min(1_000_000),
            _ => pair.now_ns + delta,
        };
        let leeway = Leeway::all().nth(random(&mut state, 5) as usize).expect("one of five");
        let some = random(&mut state, pair.twin.len().max(1) as u64) as usize;
        match random(&mut state, 8) {
            0..3 => {
                let kinds = [Due::Timer(n), Due::Timer(n), Due::Source(n), Due::Scope(n)];
                pair.insert(at_ns, leeway, kinds[random(&mut state, 4) as usize]);
            }
            3 if !pair.twin.is_empty() => pair.cancel(some),
            4 if !pair.twin.is_empty() => pair.reset(some, at_ns),
            5 => {
                let next = pair.timers.next_deadline().unwrap_or(pair.now_ns);
                pair.advance(next.saturating_add(random(&mut state, 3)).saturating_sub(1), 100);
            }
            _ => pair.advance(pair.now_ns + delta / 4, 1 + random(&mut state, 3) as usize),
        }
        pair.compare();
    }
    pair.advance(NEVER - 1, 4);
    assert!(pair.twin.iter().all(|live| live.deadline_ns == NEVER));
}

#[test]
fn t08_random_programs_are_what_a_list_makes_of_them() {
    for seed in 1..=500 {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "seed {seed}");
    }
}

fn timers() -> Timers {
    Timers::new(1_000_000, Tick::default())
}

#[test]
fn equal_deadlines_in_hand_and_in_a_wheel() {
    let mut timers = timers();
    timers.insert(2_000_000, Leeway::NONE, Due::Source(0));
    let late = timers.insert(2_000_000, Leeway::NONE, Due::Timer(1));
    assert!(matches!(late.place, Place::Wheel(_)), "what is in hand comes before all others");
    let first = timers.insert(1_999_999, Leeway::NONE, Due::Timer(2));
    assert!(matches!(first.place, Place::Hand(_)));
    assert!(timers.reset(first, 2_000_000));
    assert!(timers.advance(2_000_000, 10));
    let fired: Vec<_> = std::iter::from_fn(|| timers.pop()).map(|(_, due)| due).collect();
    assert_eq!(fired, [Due::Timer(2), Due::Source(0), Due::Timer(1)]);
}

#[test]
fn what_a_source_wants_is_never_in_hand_and_what_was_in_hand_is_not_what_is() {
    let mut timers = timers();
    for due in [Due::Source(0), Due::Scope(1)] {
        assert!(matches!(timers.insert(2_000_000, Leeway::NONE, due).place, Place::Wheel(_)));
    }
    let gone = timers.insert(1_500_000, Leeway::NONE, Due::Timer(2));
    timers.cancel(gone);
    let hand = timers.insert(1_600_000, Leeway::NONE, Due::Timer(3));
    assert!(matches!((gone.place, hand.place), (Place::Hand(_), Place::Hand(_))));
    timers.cancel(gone);
    assert!(!timers.reset(gone, 1_700_000));
    assert_eq!((timers.len(), timers.next_deadline()), (3, Some(1_600_000)));
    assert!(timers.reset(hand, 1_700_000));
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 1_700_000, exact: true }));
}

#[test]
fn of_equal_alarms_that_of_the_narrower_leeway_is_told() {
    let mut timers = timers();
    timers.insert(5_000_000, Leeway::MILLISECOND, Due::Source(0));
    timers.insert(6_000_000, Leeway::NONE, Due::Source(1));
    assert_eq!(timers.alarm(), Some(Alarm { at_ns: 6_000_000, exact: true }));
}

#[test]
fn nothing_is_looked_at_before_its_time_but_a_wheel_once_a_millisecond() {
    let mut timers = timers();
    timers.insert(50_000_000, Leeway::NONE, Due::Source(0));
    timers.next_deadline();
    assert!(timers.advance(1_000_000 + ADVANCE_EVERY_NS - 1, 10));
    assert!(timers.outlook.is_some() && timers.now_ns == 1_000_000, "it was left alone");
    assert!(timers.advance(1_000_000 + ADVANCE_EVERY_NS, 10));
    assert_eq!(timers.now_ns, 1_000_000 + ADVANCE_EVERY_NS);
    let hand = timers.insert(3_000_000, Leeway::NONE, Due::Timer(1));
    assert!(matches!(hand.place, Place::Hand(_)));
    assert!(timers.advance(2_999_999, 10) && !timers.has_due());
    assert_eq!(timers.now_ns, 1_000_000 + ADVANCE_EVERY_NS);
    assert!(timers.advance(3_000_000, 10) && timers.has_due());
    assert_eq!(timers.now_ns, 1_000_000 + ADVANCE_EVERY_NS, "what is in hand needs no wheel");
    assert_eq!(timers.pop(), Some((3_000_000, Due::Timer(1))));
}
