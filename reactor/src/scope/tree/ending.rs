//! How the end of a scope reaches all that is in it.

use std::rc::Rc;

use super::{Kind, Member, Scopes};
use crate::arena::{Arena, Id};
use crate::drift::Wait;
use crate::instant::Instant;
use crate::scope::end::ScopeEnd;
use crate::scope::node::NONE;
use crate::source::Source;
use crate::timers::Timers;
use crate::waiters::Wakeup;

impl Scopes {
    /// That the deadline of `id` was missed, as seen at `fired_ns`.
    pub(crate) fn elapsed(&mut self, id: Id, fired_ns: u64, wait: Wait) -> Option<ScopeEnd> {
        let node = self.nodes.get_mut(id)?;
        Some(ScopeEnd::Elapsed(crate::scope::ScopeElapsed {
            deadline: Instant::from_nanos(node.own_ns),
            fired: Instant::from_nanos(fired_ns),
            of: (*node.deadline).clone(),
            wait,
        }))
    }

    /// Ends a node and all in it that no shield protects, unless it has ended. Returns whether it had not.
    pub(crate) fn end(
        &mut self,
        id: Id,
        end: &ScopeEnd,
        order: u64,
        sources: &mut Arena<Rc<Source>>,
        timers: &mut Timers,
    ) -> bool {
        if self.nodes.get_mut(id).is_none_or(|node| node.end.is_some()) {
            return false;
        }
        let end = &Rc::new(end.clone());
        let top = id.index;
        let mut index = top;
        loop {
            let descend = index == top || self.at(index).is_some_and(|node| node.is_reached());
            if descend {
                self.end_one(index, end, order, sources, timers);
            }
            let child = self.at(index).map_or(NONE, |node| node.links.first_child);
            if descend && child != NONE {
                index = child;
                continue;
            }
            match self.after(index, top) {
                Some(next) => index = next,
                None => return true,
            }
        }
    }

    /// The node that follows the subtree of `index`, within that of `top`.
    pub(super) fn after(&mut self, mut index: u32, top: u32) -> Option<u32> {
        while index != top {
            let node = self.at(index)?;
            if node.links.next != NONE {
                return Some(node.links.next);
            }
            index = node.links.parent;
        }
        None
    }

    pub(super) fn end_one(
        &mut self,
        index: u32,
        end: &Rc<ScopeEnd>,
        order: u64,
        sources: &mut Arena<Rc<Source>>,
        timers: &mut Timers,
    ) {
        let Scopes { nodes, woken, hooks_due, .. } = self;
        let Some((_, node)) = nodes.at_index(index) else { return };
        node.end = Some((order, end.clone()));
        woken.extend(node.take_poller());
        let hooks = node.take_hooks();
        hooks_due.extend(hooks.into_iter().map(|(number, hook)| (number, (ScopeEnd::clone(end), hook))));
        if node.tells_of_its_end() {
            self.tell_of_the_end(index, sources, timers);
        }
    }

    /// Tells whoever waits in a node that has ended, or is to be closed.
    pub(super) fn tell_of_the_end(
        &mut self,
        index: u32,
        sources: &mut Arena<Rc<Source>>,
        timers: &mut Timers,
    ) {
        let Scopes { nodes, woken, .. } = self;
        let Some((_, node)) = nodes.at_index(index) else { return };
        if let Some(timer) = node.timer.take() {
            timers.cancel(timer);
        }
        for member in node.members.take() {
            match member {
                Member::Waker(waker) => woken.push(Wakeup::Waker(waker)),
                Member::Operation { source, direction, name } => {
                    let source = sources.get_mut(source);
                    let waiters = source.as_ref().and_then(|source| source.side(direction).others());
                    woken.extend(waiters.and_then(|waiters| waiters.borrow_mut().remove(name)));
                }
            }
        }
        if node.kind == Kind::Shield {
            let parent = node.links.parent;
            self.wake_waiting(parent);
        }
    }

    /// Wakes the futures around a shield or a task that is over, within one task: one that has ended and waited
    /// for it need not have awaited it, and then has a waker of its own.
    pub(super) fn wake_waiting(&mut self, mut index: u32) {
        let Scopes { nodes, woken, .. } = self;
        while let Some((_, node)) = nodes.at_index(index).filter(|(_, node)| node.end.is_some()) {
            woken.extend(node.take_poller());
            if matches!(node.kind, Kind::Task(_)) {
                return;
            }
            index = node.links.parent;
        }
    }
}
