//! The invariants, walked.

use crate::node::Filed;
use crate::wheel::Wheel;

impl<T> Wheel<T> {
    /// Walks everything and panics, with a message, on a broken invariant. For tests and debugging.
    pub fn check(&self) {
        self.near.check(&self.nodes);
        self.due.check(&self.nodes);
        let filed = self.rings.check(&self.nodes);
        let parked = self.nodes.check(|place, _| place.filed() == Filed::Parked);
        assert_eq!(
            filed + parked + self.near.len() + self.due.len(),
            self.len(),
            "every timer is filed once"
        );
    }
}
