//! What is due: a list of the timers that came in order, and a tree of those that did not.

use crate::node::{Filed, NIL, Place, Slab};
use crate::tree::Tree;

/// Timers that `pop` may take, in order of deadline, then index.
///
/// An advance makes timers due in their order, but for a few, so nearly all of them go to the end of a list, and come from its
/// beginning. One that is before the last in the list goes into a tree. What the first one has for a link before it says nothing.
pub(crate) struct Due {
    first: u32,
    last: u32,
    /// How many are in the list.
    len: u32,
    tree: Tree,
}

impl Due {
    pub(crate) const fn new() -> Due {
        Due { first: NIL, last: NIL, len: 0, tree: Tree::new(Place::DUE_TAG) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize + self.tree.len()
    }

    #[inline]
    pub(crate) fn first_deadline<T>(&self, nodes: &Slab<T>) -> Option<u64> {
        let index = self.min(nodes);
        (index != NIL).then(|| nodes.node(index).deadline)
    }

    #[inline]
    pub(crate) fn insert<T>(&mut self, nodes: &mut Slab<T>, index: u32) {
        let last = self.last;
        let is_next = last == NIL || {
            let (before, node) = (nodes.node(last).deadline, nodes.node(index).deadline);
            (before, last) < (node, index)
        };
        if !is_next {
            return self.tree.insert(nodes, index);
        }
        self.append(nodes, &[(nodes.node(index).deadline, index)]);
    }

    /// The same for several, which are in order.
    #[inline]
    pub(crate) fn insert_sorted<T>(&mut self, nodes: &mut Slab<T>, keys: &[(u64, u32)]) {
        let Some(first) = keys.first() else { return };
        let last = self.last;
        if last == NIL || (nodes.node(last).deadline, last) < *first {
            self.append(nodes, keys);
        } else {
            keys.iter().for_each(|&(_, index)| self.insert(nodes, index));
        }
    }

    /// They come after all in the list, in their order.
    #[inline]
    fn append<T>(&mut self, nodes: &mut Slab<T>, keys: &[(u64, u32)]) {
        let Some(&(_, first)) = keys.first() else { return };
        match self.last {
            NIL => self.first = first,
            last => nodes.node_mut(last).next = first,
        }
        let following = keys.iter().skip(1).map(|key| key.1).chain([NIL]);
        for (&(_, index), next) in keys.iter().zip(following) {
            let node = nodes.node_mut(index);
            (node.next, node.prev) = (next, self.last);
            node.set_place(Place::LISTED);
            self.last = index;
        }
        self.len += keys.len() as u32;
    }

    /// Takes out one that was filed as `filed`.
    #[inline]
    pub(crate) fn remove<T>(&mut self, nodes: &mut Slab<T>, index: u32, filed: Filed) {
        if filed != Filed::Listed {
            return self.tree.remove(nodes, index);
        }
        let node = nodes.node(index);
        let (next, prev) = (node.next, node.prev);
        if index == self.first {
            self.first = next;
        } else {
            nodes.node_mut(prev).next = next;
        }
        if next != NIL {
            nodes.node_mut(next).prev = prev;
        } else {
            self.last = if self.first == NIL { NIL } else { prev };
        }
        self.len -= 1;
    }

    #[inline]
    pub(crate) fn pop_min<T>(&mut self, nodes: &mut Slab<T>) -> Option<u32> {
        if self.tree.len() == 0 {
            return self.pop_listed(nodes);
        }
        let index = self.min(nodes);
        if index == NIL {
            return None;
        }
        let filed = if index == self.first { Filed::Listed } else { Filed::Due { parent: NIL } };
        self.remove(nodes, index, filed);
        Some(index)
    }

    /// The first, where all are in the list.
    #[inline]
    fn pop_listed<T>(&mut self, nodes: &mut Slab<T>) -> Option<u32> {
        let index = self.first;
        if index == NIL {
            return None;
        }
        self.first = nodes.node(index).next;
        self.len -= 1;
        if self.first == NIL {
            self.last = NIL;
        }
        Some(index)
    }

    /// The first of both, or `NIL`.
    #[inline]
    fn min<T>(&self, nodes: &Slab<T>) -> u32 {
        let (listed, other) = (self.first, self.tree.min());
        if other == NIL {
            return listed;
        }
        let key = |index| (nodes.node(index).deadline, index);
        if listed != NIL && key(listed) < key(other) { listed } else { other }
    }

    /// Walks both and panics if an invariant is broken.
    pub(crate) fn check<T>(&self, nodes: &Slab<T>) {
        self.tree.check(nodes);
        let (mut at, mut before, mut len) = (self.first, NIL, 0);
        while at != NIL {
            let node = nodes.node(at);
            assert!(node.place().filed() == Filed::Listed, "due: a node knows that it is listed");
            assert!(before == NIL || node.prev == before, "due: links agree");
            let in_order = before == NIL || (nodes.node(before).deadline, before) < (node.deadline, at);
            assert!(in_order, "due: in order");
            (before, at, len) = (at, node.next, len + 1);
        }
        assert_eq!(self.last, before, "due: the last is the last");
        assert_eq!(len, self.len, "due: length of the list");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::said;

    #[test]
    fn the_check_says_what_is_broken() {
        let broken = |break_it: fn(&mut Due, &mut Slab<()>)| {
            let (mut due, mut nodes) = (Due::new(), Slab::new());
            // The third comes after one that is later, and goes to the tree.
            for deadline in [1, 5, 3, 7, 9] {
                let (index, _) = nodes.occupy(deadline, ());
                due.insert(&mut nodes, index);
            }
            due.check(&nodes);
            assert_eq!((due.len(), due.len, due.tree.len()), (5, 4, 1));
            break_it(&mut due, &mut nodes);
            said(|| due.check(&nodes))
        };
        let said = broken(|_, nodes| nodes.node_mut(1).set_place(Place::PARKED));
        assert!(said.contains("a node knows that it is listed"), "{said}");
        let said = broken(|_, nodes| nodes.node_mut(3).prev = NIL);
        assert!(said.contains("links agree"), "{said}");
        let said = broken(|_, nodes| nodes.node_mut(3).deadline = 4);
        assert!(said.contains("due: in order"), "{said}");
        let said = broken(|due, _| due.last = 3);
        assert!(said.contains("the last is the last"), "{said}");
        let said = broken(|due, _| due.len = 5);
        assert!(said.contains("length of the list"), "{said}");
    }
}
