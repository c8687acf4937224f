//! [`Numbers`]: who has which descriptor, so that one that was closed behind its owner's back is found out.

use std::os::fd::RawFd;

use crate::arena::Id;

/// For each descriptor the bits of the source that was last registered with it, or 0; whether that still lives is for the arena to
/// say.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    /// Notes that `id` has `number` from now on. Returns who had it, if anybody did.
    pub(crate) fn give(&mut self, number: RawFd, id: Id) -> Option<Id> {
        let index = usize::try_from(number).ok()?;
        if index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        Id::from_bits(std::mem::replace(&mut self.0[index], id.to_bits()))
    }
}
