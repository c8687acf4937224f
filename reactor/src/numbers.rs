//! [`Numbers`]: who has which descriptor, so that one that was closed behind its owner's back is found out.

use std::collections::HashMap;
use std::os::fd::RawFd;

use crate::arena::Id;

/// The kernel gives out the lowest number that is free: those beyond are asked for by number, or simulated.
const NEAR: usize = 1 << 20;

/// For each descriptor the bits of the source that was last registered with it, or 0; whether that still lives is for the arena to
/// say.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    near: Vec<u64>,
    far: HashMap<usize, u64>,
}

impl Numbers {
    /// Notes that `id` has `number` from now on. Returns who had it, if anybody did.
    pub(crate) fn give(&mut self, number: RawFd, id: Id) -> Option<Id> {
        let index = usize::try_from(number).ok()?;
        if index >= NEAR {
            return self.far.insert(index, id.to_bits()).and_then(Id::from_bits);
        }
        if index >= self.near.len() {
            self.near.resize(index + 1, 0);
        }
        Id::from_bits(std::mem::replace(&mut self.near[index], id.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_far_out_takes_no_room_for_those_before_it() {
        let mut numbers = Numbers::default();
        let [one, other] = [1, 2].map(|bits| Id::from_bits(1 << 32 | bits).expect("an id"));
        for number in [3, RawFd::MAX] {
            assert_eq!(numbers.give(number, one), None);
            assert_eq!(numbers.give(number, other), Some(one));
        }
        assert_eq!(numbers.give(-1, one), None);
        assert!(numbers.near.len() < NEAR);
    }
}
