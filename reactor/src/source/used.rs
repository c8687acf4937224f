//! [`Used`]: what a source has had of a turn.

use std::cell::Cell;

use crate::budget::Budget;
use crate::readiness::Direction;

/// The work done in one turn on each side.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// The lower half of the turn's number: after 2^32 turns without any use it is taken for this one, and an operation
    /// may have to wait for the next.
    turn: Cell<u32>,
    bytes: [Cell<u32>; 2],
    /// Up to as many as a budget can name.
    operations: [Cell<u16>; 2],
}

impl Used {
    /// Whether that was the share of this turn on a side.
    #[inline]
    pub(super) fn is_its_share(&self, direction: Direction, turn: u32, budget: &Budget) -> bool {
        let side = direction.side();
        self.turn.get() == turn
            && (self.operations[side].get() >= budget.operations
                || self.bytes[side].get() >= budget.bytes)
    }

    /// A system call of this turn more.
    #[inline]
    pub(super) fn add(&self, direction: Direction, turn: u32, bytes: usize) {
        let (side, bytes) = (direction.side(), u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.turn.get() == turn {
            self.operations[side].set(self.operations[side].get().saturating_add(1));
            self.bytes[side].set(self.bytes[side].get().saturating_add(bytes));
        } else {
            self.turn.set(turn);
            self.operations[1 - side].set(0);
            self.operations[side].set(1);
            self.bytes[1 - side].set(0);
            self.bytes[side].set(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_has_its_share_apart_from_the_other_and_anew_each_turn() {
        let budget = Budget { operations: u16::MAX, bytes: 10, ..Budget::DEFAULT };
        let (used, [read, write]) = (Used::default(), Direction::BOTH);
        used.add(read, 7, 9);
        assert!(!used.is_its_share(read, 7, &budget));
        used.add(write, 7, usize::MAX);
        assert!(used.is_its_share(write, 7, &budget) && !used.is_its_share(read, 7, &budget));
        used.add(read, 7, 1);
        assert!(used.is_its_share(read, 7, &budget) && !used.is_its_share(read, 8, &budget));
        used.add(read, 8, 0);
        for direction in Direction::BOTH {
            assert!(!used.is_its_share(direction, 8, &budget), "{direction:?}");
        }
        for operation in 0..u16::MAX {
            assert!(!used.is_its_share(write, 8, &budget), "{operation}");
            used.add(write, 8, 0);
        }
        assert!(used.is_its_share(write, 8, &budget), "as many as can be named");
    }
}
