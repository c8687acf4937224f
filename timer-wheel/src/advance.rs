//! Moving the clock: firing, pouring slots down, and pouring ahead.

use crate::next::CROWD;
use crate::node::NIL;
use crate::ring::{self, Head, LEVELS, Rings};
use crate::types::{Budget, Expired, Progress};
use crate::{NEVER, Wheel};

/// What is left of a [`Budget`], and what was done with it.
struct Work {
    budget: Budget,
    fired: usize,
    moved: usize,
}

impl Work {
    fn new(budget: Budget) -> Work {
        let budget = Budget { fires: budget.fires.max(1), moves: budget.moves.max(1) };
        Work { budget, fired: 0, moved: 0 }
    }

    #[inline]
    fn fires_left(&self) -> usize {
        self.budget.fires - self.fired
    }

    #[inline]
    fn moves_left(&self) -> usize {
        self.budget.moves.saturating_add(self.fired.saturating_mul(LEVELS)).saturating_sub(self.moved)
    }
}

/// A few timers in order of deadline, then index.
struct Sorted {
    keys: [(u64, u32); SORTED_MAX],
    len: usize,
}

/// A slot has a few, mostly. Those of one with more go in several runs, of which all but the first are sorted by the tree.
const SORTED_MAX: usize = 32;

impl Sorted {
    #[inline]
    fn new() -> Sorted {
        Sorted { keys: [(0, NIL); SORTED_MAX], len: 0 }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.len == SORTED_MAX
    }

    #[inline]
    fn keys(&self) -> &[(u64, u32)] {
        &self.keys[..self.len.min(SORTED_MAX)]
    }

    /// There is room for it.
    #[inline]
    fn add(&mut self, deadline: u64, index: u32) {
        let key = (deadline, index);
        let mut at = self.len % SORTED_MAX;
        while at > 0 && self.keys[at - 1] > key {
            self.keys[at] = self.keys[at - 1];
            at -= 1;
        }
        self.keys[at] = key;
        self.len += 1;
    }
}

impl<T> Wheel<T> {
    /// Moves the clock to `now` and makes what is due poppable: the timers with `deadline <= now` that were armed before
    /// this call, the earliest first, as many as the budget allows. A `now` in the past counts as the latest one seen.
    ///
    /// The work is bounded by the budget, moves between slots included; a jump of the clock costs what is filed in
    /// between, not how far it is. If it is not [`complete`](Progress::complete), call again: what is left stays in
    /// order, and [`next_deadline`](Wheel::next_deadline) does not pass `now` while anything due is left.
    pub fn advance(&mut self, now: u64, budget: Budget) -> Progress {
        self.now = self.now.max(now);
        if self.next.known().is_some_and(|at| self.now < at) {
            return Progress { fired: 0, moved: 0, complete: true };
        }
        let mut work = Work::new(budget);
        let complete = self.fire(&mut work);
        if complete {
            self.pour_ahead(&mut work);
        }
        self.behind = !complete;
        self.next.forget();
        Progress { fired: work.fired, moved: work.moved, complete }
    }

    /// Moves the clock to `now` and hands what is due to `sink`, in order, at most [`Budget::fires`] timers.
    ///
    /// The sink gets the wheel too. What it cancels does not fire; what it arms or resets to a moment that has passed
    /// fires in the next call, so that this one ends. If the sink panics, its own timer is gone and no other.
    ///
    /// ```
    /// # use punctual_timer_wheel::{Budget, Wheel};
    /// let mut wheel = Wheel::new(0);
    /// wheel.insert(10, "tick");
    /// let progress = wheel.expire(10, Budget::default(), |wheel, expired| {
    ///     wheel.insert(expired.deadline, "tick"); // due already: next time
    /// });
    /// assert_eq!((progress.fired, progress.complete), (1, true));
    /// assert_eq!(wheel.next_deadline(), Some(10));
    /// ```
    pub fn expire(
        &mut self,
        now: u64,
        budget: Budget,
        mut sink: impl FnMut(&mut Wheel<T>, Expired<T>),
    ) -> Progress {
        let Progress { moved, complete, .. } = self.advance(now, budget);
        let mut fired = 0;
        while fired < budget.fires.max(1) {
            let Some(expired) = self.pop() else { break };
            fired += 1;
            sink(self, expired);
        }
        Progress { fired, moved, complete: complete && self.due.len() == 0 }
    }

    fn fire(&mut self, work: &mut Work) -> bool {
        let now_tick = self.now >> self.shift;
        loop {
            let head = self.rings.first(self.cursor);
            if !self.release(head, work) {
                return false;
            }
            match head {
                Some(head) if head.start <= now_tick => {
                    self.cursor = head.start;
                    if !self.pour(head, work) {
                        return false;
                    }
                }
                _ => {
                    self.cursor = now_tick;
                    return true;
                }
            }
        }
    }

    /// Makes the near timers due that no slot can come before. False if the budget ended.
    fn release(&mut self, head: Option<Head>, work: &mut Work) -> bool {
        loop {
            let index = self.near.min();
            if index == NIL {
                return true;
            }
            let deadline = self.nodes.node(index).deadline;
            if deadline > self.now || head.is_some_and(|head| deadline >> self.shift >= head.start) {
                return true;
            }
            if work.fires_left() == 0 {
                return false;
            }
            self.near.remove(&mut self.nodes, index);
            self.due.insert(&mut self.nodes, index);
            work.fired += 1;
        }
    }

    /// Pours a slot down until it is empty. False if the budget ended.
    fn pour(&mut self, head: Head, work: &mut Work) -> bool {
        let last = head.last();
        let len = self.rings.len(head.slot) as usize;
        // What is due need not come down step by step if it is little enough to be sorted at once.
        let near = if len <= CROWD as usize { self.now >> self.shift } else { self.cursor };
        let first = self.comes_first(head, len, work);
        let most = len.min(work.moves_left());
        let mut due = Sorted::new();
        let mut moved = 0;
        while moved < most {
            let taken = self.rings.take(&self.nodes, head.slot, most - moved);
            moved += taken.as_slice().len();
            for &(index, deadline) in taken.as_slice() {
                let tick = deadline >> self.shift;
                if tick > last || deadline == NEVER {
                    self.file(index, deadline);
                } else if first && deadline <= self.now {
                    if due.is_full() {
                        self.make_due(&mut due);
                    }
                    due.add(deadline, index);
                    work.fired += 1;
                } else if tick <= near {
                    self.near.insert(&mut self.nodes, index);
                } else {
                    let level = ring::level_of(tick - self.cursor).min(head.level - 1);
                    let slot = Rings::slot_for(self.cursor, tick, level);
                    self.rings.link(&mut self.nodes, slot, index);
                }
            }
        }
        self.make_due(&mut due);
        self.rings.settle(&mut self.nodes, head.slot, moved);
        work.moved += moved;
        moved == len
    }

    #[inline]
    fn make_due(&mut self, sorted: &mut Sorted) {
        self.due.insert_sorted(&mut self.nodes, sorted.keys());
        sorted.len = 0;
    }

    /// Whether all that a slot covers comes before anything else, and fits the budget: then what is due of it need not
    /// pass through the near tree, which is there to hold back what must wait for an earlier timer.
    fn comes_first(&self, head: Head, len: usize, work: &Work) -> bool {
        let last = head.last();
        let mut finer = (0..head.level).filter_map(|level| self.rings.first_of(self.cursor, level));
        head.start <= self.now >> self.shift
            && self.near.len() == 0
            && (head.level == 0 || len <= CROWD as usize)
            && len <= work.fires_left().min(work.moves_left())
            && finer.all(|other| other.start > last)
    }

    /// Spends what is left of the budget on crowded slots whose time has nearly come, the first to start first.
    fn pour_ahead(&mut self, work: &mut Work) {
        while work.moves_left() > 0 {
            let wanted = (1..LEVELS)
                .filter_map(|level| self.rings.first_of(self.cursor, level))
                .filter(|head| head.eligible() <= self.cursor && self.rings.len(head.slot) > CROWD)
                .min_by_key(|head| head.start);
            match wanted {
                Some(head) => self.pour(head, work),
                None => return,
            };
        }
    }
}
