//! [`RunQueue`]: the tasks that are to be polled, in order.

use crate::arena::Id;

/// First in, first out: what is queued gathers on one side, and is taken from the other. To queue is a push, and to take
/// is a step.
#[derive(Debug, Default)]
pub(super) struct RunQueue {
    gathered: Vec<Id>,
    taken_from: Vec<Id>,
    /// How many of those have been taken.
    taken: usize,
}

impl RunQueue {
    #[inline]
    pub(super) fn push(&mut self, task: Id) {
        self.gathered.push(task);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Id> {
        if self.taken == self.taken_from.len() && !self.turn_over() {
            return None;
        }
        let task = self.taken_from.get(self.taken).copied();
        self.taken += 1;
        task
    }

    /// The one that comes after the one that was taken last, if it is known already.
    #[inline]
    pub(super) fn next(&self) -> Option<Id> {
        self.taken_from.get(self.taken).copied()
    }

    /// All are taken: goes on with those that have gathered, if any have.
    fn turn_over(&mut self) -> bool {
        self.taken_from.clear();
        self.taken = 0;
        std::mem::swap(&mut self.gathered, &mut self.taken_from);
        !self.taken_from.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.gathered.len() + self.taken_from.len() - self.taken
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.taken == self.taken_from.len()
    }

    pub(super) fn clear(&mut self) {
        *self = RunQueue::default();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn what_is_queued_first_is_taken_first_whatever_comes_meanwhile() {
        let mut queue = RunQueue::default();
        let (mut pushed, mut popped) = (0..1_000, Vec::new());
        // Three in, two out, until all are in.
        while !queue.is_empty() || !pushed.is_empty() {
            for index in pushed.by_ref().take(3) {
                queue.push(Id { index, generation: NonZeroU32::MIN });
            }
            let before = queue.len();
            let out: Vec<_> = (0..2).map_while(|_| queue.pop()).map(|id| id.index).collect();
            assert_eq!(queue.len(), before - out.len());
            popped.extend(out);
        }
        assert!(popped.into_iter().eq(0..1_000));
        assert_eq!(queue.pop(), None);
    }
}
