//! An intrusive treap over the nodes, ordered by deadline, then index.
//!
//! The nodes that the rings can no longer order, because they are of the current tick, of the past, or due, are kept
//! here. Nearly every insertion is at an end, where it costs a few steps; everything else is `O(log n)` expected. A
//! node's priority is a bijective hash of its index, so two priorities never tie and no state is kept.

use std::num::NonZeroU32;

use crate::node::{NIL, Place, Slab};

pub(crate) struct Tree {
    root: u32,
    min: u32,
    max: u32,
    len: u32,
    tag: NonZeroU32,
}

fn priority(index: u32) -> u32 {
    let x = (index ^ (index >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

impl Tree {
    pub(crate) const fn new(tag: NonZeroU32) -> Tree {
        Tree { root: NIL, min: NIL, max: NIL, len: 0, tag }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The first node, or `NIL`.
    #[inline]
    pub(crate) fn min(&self) -> u32 {
        self.min
    }

    #[inline]
    pub(crate) fn first_deadline<T>(&self, nodes: &Slab<T>) -> Option<u64> {
        (self.min != NIL).then(|| nodes.node(self.min).deadline)
    }

    #[inline]
    pub(crate) fn insert<T>(&mut self, nodes: &mut Slab<T>, index: u32) {
        if self.root == NIL {
            let node = nodes.node_mut(index);
            (node.next, node.prev) = (NIL, NIL);
            node.set_place(Place::tree(self.tag, NIL));
            (self.root, self.min, self.max, self.len) = (index, index, index, 1);
        } else {
            self.insert_among(nodes, index);
        }
    }

    fn insert_among<T>(&mut self, nodes: &mut Slab<T>, index: u32) {
        let deadline = nodes.node(index).deadline;
        self.len += 1;
        let (parent, left) = self.seat(nodes, (deadline, index));
        let node = nodes.node_mut(index);
        node.next = NIL;
        node.prev = NIL;
        node.set_place(Place::tree(self.tag, parent));
        if left {
            nodes.node_mut(parent).next = index;
            if parent == self.min {
                self.min = index;
            }
        } else {
            nodes.node_mut(parent).prev = index;
            if parent == self.max {
                self.max = index;
            }
        }
        let mut parent = parent;
        while parent != NIL && priority(index) > priority(parent) {
            self.rotate_up(nodes, index, parent);
            parent = nodes.node(index).place().parent();
        }
    }

    /// The leaf position for `key` in a tree that is not empty: its parent, and whether it becomes the left child.
    fn seat<T>(&self, nodes: &Slab<T>, key: (u64, u32)) -> (u32, bool) {
        if key > (nodes.node(self.max).deadline, self.max) {
            return (self.max, false);
        }
        if key < (nodes.node(self.min).deadline, self.min) {
            return (self.min, true);
        }
        let mut at = self.root;
        loop {
            let node = nodes.node(at);
            let left = key < (node.deadline, at);
            let child = if left { node.next } else { node.prev };
            if child == NIL {
                return (at, left);
            }
            at = child;
        }
    }

    #[inline]
    pub(crate) fn remove<T>(&mut self, nodes: &mut Slab<T>, index: u32) {
        if self.len == 1 {
            (self.root, self.min, self.max, self.len) = (NIL, NIL, NIL, 0);
        } else {
            self.remove_one_of_many(nodes, index);
        }
    }

    fn remove_one_of_many<T>(&mut self, nodes: &mut Slab<T>, index: u32) {
        loop {
            let node = nodes.node(index);
            let (left, right) = (node.next, node.prev);
            if left == NIL || right == NIL {
                break;
            }
            let child = if priority(left) > priority(right) { left } else { right };
            self.rotate_up(nodes, child, index);
        }
        let node = nodes.node(index);
        let parent = node.place().parent();
        let child = if node.next == NIL { node.prev } else { node.next };
        if index == self.min {
            self.min = if child == NIL { parent } else { self.leftmost(nodes, child) };
        }
        if index == self.max {
            self.max = if child == NIL { parent } else { self.rightmost(nodes, child) };
        }
        if child != NIL {
            nodes.node_mut(child).set_place(Place::tree(self.tag, parent));
        }
        self.replace_child(nodes, parent, index, child);
        self.len -= 1;
    }

    fn leftmost<T>(&self, nodes: &Slab<T>, mut at: u32) -> u32 {
        while nodes.node(at).next != NIL {
            at = nodes.node(at).next;
        }
        at
    }

    fn rightmost<T>(&self, nodes: &Slab<T>, mut at: u32) -> u32 {
        while nodes.node(at).prev != NIL {
            at = nodes.node(at).prev;
        }
        at
    }

    fn replace_child<T>(&mut self, nodes: &mut Slab<T>, parent: u32, old: u32, new: u32) {
        if parent == NIL {
            self.root = new;
            return;
        }
        let node = nodes.node_mut(parent);
        if node.next == old {
            node.next = new;
        } else {
            node.prev = new;
        }
    }

    fn rotate_up<T>(&mut self, nodes: &mut Slab<T>, child: u32, parent: u32) {
        let grandparent = nodes.node(parent).place().parent();
        let inner = if nodes.node(parent).next == child {
            let inner = nodes.node(child).prev;
            nodes.node_mut(child).prev = parent;
            nodes.node_mut(parent).next = inner;
            inner
        } else {
            let inner = nodes.node(child).next;
            nodes.node_mut(child).next = parent;
            nodes.node_mut(parent).prev = inner;
            inner
        };
        if inner != NIL {
            nodes.node_mut(inner).set_place(Place::tree(self.tag, parent));
        }
        nodes.node_mut(child).set_place(Place::tree(self.tag, grandparent));
        nodes.node_mut(parent).set_place(Place::tree(self.tag, child));
        self.replace_child(nodes, grandparent, parent, child);
    }

    /// Walks the tree and panics if an invariant is broken.
    pub(crate) fn check<T>(&self, nodes: &Slab<T>) {
        let mut count = 0;
        let mut last = None;
        let mut at = if self.root == NIL { NIL } else { self.leftmost(nodes, self.root) };
        assert_eq!(at, self.min, "tree: min is the leftmost node");
        while at != NIL {
            let node = nodes.node(at);
            let key = (node.deadline, at);
            assert!(last < Some(key), "tree: in order");
            let parent = node.place().parent();
            if parent == NIL {
                assert_eq!(self.root, at, "tree: only the root has no parent");
            } else {
                let up = nodes.node(parent);
                assert!(up.next == at || up.prev == at, "tree: a parent knows its child");
                assert!(priority(parent) > priority(at), "tree: heap order");
            }
            (last, count) = (Some(key), count + 1);
            at = self.successor(nodes, at);
        }
        assert_eq!(self.max, last.map_or(NIL, |(_, index)| index), "tree: max is the rightmost node");
        assert_eq!(count, self.len, "tree: length");
    }

    fn successor<T>(&self, nodes: &Slab<T>, at: u32) -> u32 {
        let right = nodes.node(at).prev;
        if right != NIL {
            return self.leftmost(nodes, right);
        }
        let mut child = at;
        loop {
            let parent = nodes.node(child).place().parent();
            if parent == NIL || nodes.node(parent).next == child {
                return parent;
            }
            child = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::said;

    /// Twenty nodes, something broken, and what the check says.
    fn broken(break_it: impl FnOnce(&mut Tree, &mut Slab<()>)) -> String {
        let (mut tree, mut nodes) = (Tree::new(Place::NEAR_TAG), Slab::new());
        for deadline in 0..20 {
            let (index, _) = nodes.occupy(deadline, ());
            tree.insert(&mut nodes, index);
        }
        tree.check(&nodes);
        break_it(&mut tree, &mut nodes);
        said(|| tree.check(&nodes))
    }

    /// A leaf whose parent is not the root.
    fn leaf(tree: &Tree, nodes: &Slab<()>) -> u32 {
        let is_leaf = |at: &u32| (nodes.node(*at).next, nodes.node(*at).prev) == (NIL, NIL);
        let is_deep = |at: &u32| nodes.node(*at).place().parent() != tree.root;
        (0..20).find(|at| is_leaf(at) && is_deep(at)).expect("a leaf")
    }

    #[test]
    fn the_check_says_what_is_broken() {
        let said = broken(|tree, _| tree.min = 1);
        assert!(said.contains("min is the leftmost node"), "{said}");
        let said = broken(|_, nodes| nodes.node_mut(7).deadline = 9);
        assert!(said.contains("in order"), "{said}");
        for (to_the_root, expected) in
            [(false, "only the root has no parent"), (true, "a parent knows its child")]
        {
            let said = broken(|tree, nodes| {
                let to = if to_the_root { tree.root } else { NIL };
                nodes.node_mut(leaf(tree, nodes)).set_place(Place::tree(tree.tag, to));
            });
            assert!(said.contains(expected), "{said}");
        }
        let said = broken(|tree, nodes| {
            let (root, node) = (tree.root, nodes.node(tree.root));
            let child = if node.next == NIL { node.prev } else { node.next };
            tree.rotate_up(nodes, child, root);
        });
        assert!(said.contains("heap order"), "{said}");
        let said = broken(|tree, _| tree.max = 0);
        assert!(said.contains("max is the rightmost node"), "{said}");
        let said = broken(|tree, _| tree.len = 7);
        assert!(said.contains("tree: length"), "{said}");
    }
}
