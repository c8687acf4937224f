//! [`Scopes`]: the tree of scopes. It calls nobody; whom to wake it collects.
//!
//! Nodes are linked by index, parent to first child to sibling, so that an end reaches its descendants
//! without recursion and without allocating, and reaches each of them once.

mod ending;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use crate::arena::{Arena, Id};
use crate::scope::end::ScopeEnd;
pub(crate) use crate::scope::node::{HookFn, Kind, Left, Member, Plan};
use crate::scope::node::{Links, NONE, Node};
use crate::source::{NEVER, Source};
use crate::text::Text;
use crate::timers::{TimerKey, Timers};
use crate::waiters::Wakeup;
use crate::waits::Frame;

#[derive(Default)]
pub(crate) struct Scopes {
    pub(crate) nodes: Arena<Node>,
    /// Counts the polls of scoped futures, so that of two polls it is known which was later.
    polls: u64,
    /// To be woken by whoever has let go of the reactor.
    pub(crate) woken: Vec<Wakeup>,
    /// To be run by the loop, in the order of their numbers.
    pub(crate) hooks_due: BTreeMap<u64, (ScopeEnd, HookFn)>,
    pub(crate) hooks_made: u64,
}

/// What was left in a node that was closed: tasks of it, and what is to be dropped where a drop does no harm.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) tasks: Vec<Id>,
    pub(crate) left: Option<Box<Left>>,
}

/// What is to be known of a scope when its future is polled.
pub(crate) struct Begun {
    /// Whether it has ended.
    pub(crate) ended: bool,
    /// When that is, among all such polls.
    pub(crate) at: u64,
    /// Whether who polls it is who is woken for it.
    pub(crate) knows_poller: bool,
}

impl Scopes {
    /// Adds a node. In a scope that has ended it has ended as well.
    pub(crate) fn open(&mut self, plan: Plan) -> Id {
        let (kind, parent, own_ns) = (plan.kind, plan.parent, plan.own_ns);
        let mut node = Node::new(plan);
        let index = self.nodes.next_index();
        if let Some(id) = parent {
            match self.nodes.get_mut(id) {
                None => node.end = Some((0, Rc::new(ScopeEnd::over(&node.deadline.name)))),
                Some(parent) => {
                    node.links.parent = id.index;
                    node.links.next = std::mem::replace(&mut parent.links.first_child, index);
                    parent.tasks += u32::from(matches!(kind, Kind::Task(_)));
                    if kind != Kind::Shield {
                        node.end.clone_from(&parent.end);
                        if parent.effective_ns <= own_ns {
                            (node.effective_ns, node.own_ns) = (parent.effective_ns, NEVER);
                        }
                    }
                }
            }
        }
        let next = node.links.next;
        let id = self.nodes.insert(node);
        debug_assert_eq!(id.index, index);
        if let Some(next) = self.at(next) {
            next.links.previous = index;
        }
        id
    }

    fn at(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.at_index(index).map(|(_, node)| node)
    }

    /// Files the deadline of a node that has one and can still miss it.
    pub(crate) fn file(&mut self, id: Id, insert: impl FnOnce(u64) -> TimerKey) {
        let node = self.nodes.get_mut(id).filter(|node| node.end.is_none() && node.own_ns != NEVER);
        if let Some(node) = node {
            node.timer = Some(insert(node.own_ns));
        }
    }

    /// When and by what the scope ended, if it has. One that is gone has: nothing outlives it.
    pub(crate) fn end_of(&mut self, id: Id) -> Option<(u64, ScopeEnd)> {
        match self.nodes.get_mut(id) {
            Some(node) => node.end.as_ref().map(|(order, end)| (*order, ScopeEnd::clone(end))),
            None => Some((0, ScopeEnd::Cancelled("the scope is over".into()))),
        }
    }

    /// The order of the end, and whether a deadline was it: what an operation needs to know.
    #[inline]
    pub(crate) fn ended(&mut self, id: Id) -> Option<(u64, bool)> {
        match self.nodes.get_mut(id) {
            Some(node) => node.end.as_ref().map(|(order, end)| (*order, end.is_timeout())),
            None => Some((0, false)),
        }
    }

    pub(crate) fn effective_ns(&mut self, id: Id) -> u64 {
        self.nodes.get_mut(id).map_or(NEVER, |node| node.effective_ns)
    }

    /// The node whose own deadline is the one that holds in `id`.
    pub(crate) fn owner_of_deadline(&mut self, id: Id) -> Option<Id> {
        let mut index = id.index;
        loop {
            let (id, node) = self.nodes.at_index(index)?;
            if node.own_ns == node.effective_ns {
                return Some(id);
            }
            index = node.links.parent;
        }
    }

    /// The deadline of the node at `index` has come up in the wheel.
    pub(crate) fn timer_fired(&mut self, index: u32) -> Option<Id> {
        let (id, node) = self.nodes.at_index(index)?;
        node.timer = None;
        Some(id)
    }

    /// Takes a node out. What is still in it has outlived it, and ends.
    #[must_use]
    pub(crate) fn close(
        &mut self,
        id: Id,
        order: u64,
        sources: &mut Arena<Rc<Source>>,
        timers: &mut Timers,
    ) -> Closed {
        let mut closed = Closed::default();
        let Some(node) = self.nodes.get_mut(id) else { return closed };
        // Whoever polled it needs not be told, and a scope that is done was not ended: its hooks do not run. But what
        // still waits in it is told.
        let waker = node.waker.take();
        let has_children = node.links.first_child != NONE;
        if node.end.is_none() && node.tells_of_its_end() {
            self.tell_of_the_end(id.index, sources, timers);
        }
        if has_children {
            self.close_children(id.index, order, &mut closed.tasks, sources, timers);
        }
        self.unlink(id.index);
        let left = self.nodes.remove(id).and_then(|node| node.left_with(waker));
        closed.left = left.map(Box::new);
        closed
    }

    fn close_children(
        &mut self,
        index: u32,
        order: u64,
        tasks: &mut Vec<Id>,
        sources: &mut Arena<Rc<Source>>,
        timers: &mut Timers,
    ) {
        let mut over = None;
        while let Some(node) = self.at(index).filter(|node| node.links.first_child != NONE) {
            let child = node.links.first_child;
            let over = over.get_or_insert_with(|| ScopeEnd::over(&node.deadline.name));
            self.unlink(child);
            if let Some((id, child)) = self.nodes.at_index(child) {
                if let Kind::Task(task) = child.kind {
                    tasks.push(task);
                }
                self.end(id, over, order, sources, timers);
            }
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(node) = self.at(index) else { return };
        let Links { parent, next, previous, first_child } = node.links;
        let is_task = matches!(node.kind, Kind::Task(_));
        node.links = Links { first_child, ..Links::NONE };
        if let Some(next) = self.at(next) {
            next.links.previous = previous;
        }
        if let Some(previous) = self.at(previous) {
            previous.links.next = next;
        }
        let Scopes { nodes, woken, .. } = self;
        let Some((_, parent)) = nodes.at_index(parent) else { return };
        if parent.links.first_child == index {
            parent.links.first_child = next;
        }
        if is_task {
            parent.tasks -= 1;
            if parent.tasks == 0 {
                // A body that still runs asks for itself when it is done.
                if parent.waits_for_tasks() {
                    woken.extend(parent.take_poller());
                }
                let around = parent.links.parent;
                self.wake_waiting(around);
            }
        }
    }

    /// The future of `id` is about to be polled by `waker`'s, within `frame`.
    pub(crate) fn begin_poll(&mut self, id: Id, frame: Frame, waker: &Waker) -> Begun {
        self.polls += 1;
        let at = self.polls;
        let Some(node) = self.nodes.get_mut(id) else {
            return Begun { ended: true, at, knows_poller: true };
        };
        node.polled_at = at;
        node.frame = frame;
        Begun { ended: node.end.is_some(), at, knows_poller: node.is_polled_by(waker) }
    }

    /// Has `id` woken by `waker`; returns what is to be dropped for it.
    pub(crate) fn set_waker(&mut self, id: Id, waker: Waker) -> Option<Waker> {
        match self.nodes.get_mut(id) {
            Some(node) if !node.is_polled_by(&waker) => node.waker.replace(waker),
            _ => Some(waker),
        }
    }

    /// Whether the future of `id`, which waits after the end, does so for what ends by itself: for a scope or
    /// a shield that it has looked at in its poll, which began at `began`, or for one whose tasks still run or
    /// whose shield still holds.
    pub(crate) fn waits_for_its_own(&mut self, id: Id, began: u64) -> bool {
        let mut child = self.nodes.get_mut(id).map_or(NONE, |node| node.links.first_child);
        while let Some(node) = self.at(child) {
            let (kind, polled_at, next) = (node.kind, node.polled_at, node.links.next);
            if !matches!(kind, Kind::Task(_)) && (polled_at > began || self.lives(child)) {
                return true;
            }
            child = next;
        }
        false
    }

    /// Whether in the subtree of `top` something goes on that ends by itself.
    fn lives(&mut self, top: u32) -> bool {
        let mut index = top;
        loop {
            let Some(node) = self.at(index) else { return false };
            let holds = node.kind == Kind::Shield && node.end.is_none();
            if holds || matches!(node.kind, Kind::Task(_)) {
                return true;
            }
            index = match node.links.first_child {
                NONE => match self.after(index, top) {
                    Some(next) => next,
                    None => return false,
                },
                child => child,
            };
        }
    }

    /// Has `member` told of the end. The scope must not have ended.
    pub(crate) fn join(&mut self, id: Id, member: Member) -> Option<usize> {
        self.nodes.get_mut(id).map(|node| node.members.insert(member))
    }

    /// A member waits no longer. After the end, which tells all, it is known no more.
    pub(crate) fn leave(&mut self, id: Id, member: usize) -> Option<Member> {
        self.nodes.get_mut(id)?.members.remove(member)
    }

    /// Replaces the waker of a member; returns what is to be dropped.
    pub(crate) fn set_member_waker(&mut self, id: Id, member: usize, waker: Waker) -> Option<Waker> {
        match self.nodes.get_mut(id).and_then(|node| node.members.get_mut(member)) {
            Some(Member::Waker(kept)) => Some(std::mem::replace(kept, waker)),
            _ => Some(waker),
        }
    }

    /// The names of the scopes around `id` and its own, the outermost first.
    pub(crate) fn path(&mut self, id: Id) -> Vec<Text> {
        let mut names = Vec::new();
        let mut index = self.nodes.get_mut(id).map_or(NONE, |_| id.index);
        while let Some(node) = self.at(index) {
            if !matches!(node.kind, Kind::Task(_)) {
                names.push(node.deadline.name.clone());
            }
            index = node.links.parent;
        }
        names.reverse();
        names
    }

    /// In which frame its future was polled last, and which scope is around it.
    pub(crate) fn frame_and_parent(&mut self, id: Id) -> Option<(Frame, Option<Id>)> {
        let (frame, parent) = self.nodes.get_mut(id).map(|node| (node.frame, node.links.parent))?;
        Some((frame, self.nodes.at_index(parent).map(|(parent, _)| parent)))
    }

    /// Whether it was made without a deadline of its own by choice.
    pub(crate) fn is_unbounded(&mut self, id: Id) -> bool {
        self.nodes.get_mut(id).is_some_and(|node| node.unbounded)
    }

    /// The scopes around which there is none: an end of all is an end of these.
    pub(crate) fn roots(&mut self) -> Vec<Id> {
        self.nodes.iter_mut().filter(|(_, node)| node.links.parent == NONE).map(|(id, _)| id).collect()
    }
}
