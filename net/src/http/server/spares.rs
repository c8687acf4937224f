//! [`Spares`]: what requests that are done leave for those to come.

use std::cell::Cell;

/// What is kept instead of being dropped and made anew: one with HTTP/1, several where requests come at once.
pub(super) struct Spares<T> {
    first: Cell<Option<T>>,
    more: Cell<Vec<T>>,
}

/// No more is kept.
const MOST: usize = 16;

impl<T> Default for Spares<T> {
    fn default() -> Spares<T> {
        Spares { first: Cell::new(None), more: Cell::default() }
    }
}

impl<T> Spares<T> {
    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        self.first.take().or_else(|| {
            let mut more = self.more.take();
            let spare = more.pop();
            self.more.set(more);
            spare
        })
    }

    #[inline]
    pub(super) fn keep(&self, spare: T) {
        let Some(before) = self.first.replace(Some(spare)) else { return };
        let mut more = self.more.take();
        if more.len() < MOST - 1 {
            more.push(before);
            self.more.set(more);
        } else {
            self.more.set(more);
            drop(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_is_kept_is_given_back_and_no_more_than_a_few_are_kept() {
        let (spares, known) = (Spares::default(), Rc::new(()));
        assert!(spares.take().is_none());
        (0..2 * MOST).for_each(|_| spares.keep(known.clone()));
        assert_eq!(Rc::strong_count(&known), 1 + MOST);
        assert_eq!(std::iter::from_fn(|| spares.take()).count(), MOST);
        assert_eq!(Rc::strong_count(&known), 1);
    }
}
