//! A wheel and its twin, a `BTreeSet`, that are driven together and compared after every step.

use std::collections::{BTreeSet, HashMap};

use punctual_timer_wheel::{Budget, Expired, Key, NEVER, Progress, Tick, Wheel};

/// One tick of the default wheel, in nanoseconds.
pub(crate) const TICK: u64 = 1024;

/// Timers a wheel may hold and still be exact about the next deadline wherever they are.
const EXACT: usize = 64;

pub(crate) struct Pair {
    pub(crate) wheel: Wheel<u64>,
    live: HashMap<Key, (u64, u64)>,
    armed: BTreeSet<(u64, Order)>,
    due: BTreeSet<(u64, Order)>,
    next_value: u64,
    now: u64,
}

/// Equal deadlines fire in the order of the index that their keys print.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order(u32);

fn order(key: Key) -> Order {
    let text = format!("{key:?}");
    let index = text.trim_start_matches("Key(").split('v').next().unwrap();
    Order(index.parse().unwrap())
}

impl Pair {
    pub(crate) fn new(now: u64) -> Pair {
        Pair::with_tick(now, Tick::MICRO)
    }

    pub(crate) fn with_tick(now: u64, tick: Tick) -> Pair {
        Pair {
            wheel: Wheel::with_tick(now, tick),
            live: HashMap::new(),
            armed: BTreeSet::new(),
            due: BTreeSet::new(),
            next_value: 0,
            now,
        }
    }

    pub(crate) fn insert(&mut self, deadline: u64) -> Key {
        let value = self.next_value;
        self.next_value += 1;
        let key = self.wheel.insert(deadline, value);
        assert!(self.live.insert(key, (deadline, value)).is_none(), "{key:?} was given out twice");
        self.armed.insert((deadline, order(key)));
        self.agree();
        key
    }

    pub(crate) fn cancel(&mut self, key: Key) -> bool {
        let expected = self.live.remove(&key);
        if let Some((deadline, _)) = expected {
            self.forget(key, deadline);
        }
        let cancelled = self.wheel.cancel(key);
        assert_eq!(cancelled, expected.map(|(_, value)| value), "cancel {key:?}");
        self.agree();
        cancelled.is_some()
    }

    pub(crate) fn reset(&mut self, key: Key, deadline: u64) -> bool {
        let moved = self.wheel.reset(key, deadline);
        assert_eq!(moved, self.live.contains_key(&key), "reset {key:?}");
        if let Some(&(old, value)) = self.live.get(&key) {
            self.forget(key, old);
            self.armed.insert((deadline, order(key)));
            self.live.insert(key, (deadline, value));
        }
        self.agree();
        moved
    }

    fn forget(&mut self, key: Key, deadline: u64) {
        let entry = (deadline, order(key));
        assert!(self.armed.remove(&entry) || self.due.remove(&entry), "the twin lost {key:?}");
    }

    pub(crate) fn advance(&mut self, now: u64, budget: Budget) -> Progress {
        self.now = self.now.max(now);
        let ready = |armed: &BTreeSet<(u64, Order)>, now| {
            armed.first().is_some_and(|&(at, _)| at <= now && at != NEVER)
        };
        let progress = self.wheel.advance(now, budget);
        assert!(progress.fired <= budget.fires.max(1));
        assert!(progress.moved <= budget.moves.max(1).saturating_add(progress.fired.saturating_mul(8)));
        for _ in 0..progress.fired {
            assert!(ready(&self.armed, self.now), "fired more than is due");
            self.due.insert(self.armed.pop_first().unwrap());
        }
        if progress.complete {
            assert!(
                !ready(&self.armed, self.now),
                "complete, but {:?} is due at {}",
                self.armed.first(),
                self.now
            );
        } else {
            let out_of_moves = progress.moved >= budget.moves.max(1);
            assert!(progress.fired == budget.fires.max(1) || out_of_moves, "gave up within its budget");
            let more = ready(&self.armed, self.now);
            assert!(!more || self.wheel.next_deadline().unwrap() <= self.now, "the caller would sleep");
        }
        self.agree();
        progress
    }

    pub(crate) fn pop(&mut self) -> Option<Expired<u64>> {
        let expected = self.due.pop_first();
        assert_eq!(self.wheel.peek(), expected.map(|(deadline, _)| deadline));
        let expired = self.wheel.pop();
        assert_eq!(expired.map(|e| (e.deadline, order(e.key))), expected);
        if let Some(Expired { key, deadline, value }) = expired {
            assert!(deadline <= self.now, "early");
            assert_eq!(self.live.remove(&key), Some((deadline, value)));
        }
        self.agree();
        expired
    }

    /// Everything that is due by `now`, in order.
    pub(crate) fn drain(&mut self, now: u64) -> Vec<u64> {
        self.advance(now, Budget::UNLIMITED);
        std::iter::from_fn(|| self.pop()).map(|expired| expired.value).collect()
    }

    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        let truth = self.truth();
        let next = self.wheel.next_deadline();
        assert!(next.unwrap_or(NEVER) <= truth, "next_deadline {next:?} is later than {truth}");
        assert_eq!(next.is_none(), truth == NEVER, "next_deadline {next:?}, truth {truth}");
        if self.wheel.len() <= EXACT || !self.due.is_empty() {
            assert_eq!(next.unwrap_or(NEVER), truth, "next_deadline is exact");
        }
        self.wheel.check();
        next
    }

    fn truth(&self) -> u64 {
        let first = |set: &BTreeSet<(u64, Order)>| set.first().map_or(NEVER, |&(deadline, _)| deadline);
        first(&self.armed).min(first(&self.due))
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    fn agree(&self) {
        self.wheel.check();
        assert_eq!(self.wheel.len(), self.live.len());
        assert_eq!(self.wheel.is_empty(), self.live.is_empty());
        assert_eq!(self.wheel.now(), self.now);
        assert_eq!(self.wheel.peek(), self.due.first().map(|&(deadline, _)| deadline));
    }

    /// Each key answers as the twin would.
    pub(crate) fn compare_keys(&self, keys: &[Key]) {
        for &key in keys {
            let expected = self.live.get(&key);
            assert_eq!(self.wheel.contains(key), expected.is_some());
            assert_eq!(self.wheel.deadline(key), expected.map(|&(deadline, _)| deadline));
            assert_eq!(self.wheel.get(key), expected.map(|(_, value)| value));
        }
    }
}
