//! [`Scopes`]: the tree of scopes. It calls nobody; whom to wake it collects.
//!
//! Nodes are linked by index, parent to first child to sibling, so that an end reaches its descendants
//! without recursion and without allocating, and reaches each of them once.

use std::collections::BTreeMap;
use std::panic::Location;
use std::task::Waker;

use slab::Slab;

use crate::arena::{Arena, Id};
use crate::drift::Wait;
use crate::instant::Instant;
use crate::readiness::Direction;
use crate::scope::end::{ScopeDeadline, ScopeEnd};
use crate::source::{NEVER, Source};
use crate::text::Text;
use crate::timers::{TimerKey, Timers};
use crate::waiters::Note;
use crate::waits::Frame;

/// No node.
const NONE: u32 = u32::MAX;

/// What is to be run at the end of a scope, and where that was said.
pub(crate) struct HookFn {
    pub(crate) run: Box<dyn FnOnce(&ScopeEnd)>,
    pub(crate) set_at: &'static Location<'static>,
}

#[derive(Default)]
pub(crate) struct Scopes {
    pub(crate) nodes: Arena<Node>,
    /// Counts the polls of scoped futures, so that of two polls it is known which was later.
    polls: u64,
    /// To be woken by whoever has let go of the reactor.
    pub(crate) woken: Vec<Waker>,
    /// To be run by the loop, in the order of their numbers.
    pub(crate) hooks_due: BTreeMap<u64, (ScopeEnd, HookFn)>,
    pub(crate) hooks_made: u64,
}

/// One scope, one task of a scope, or one shield: a future that is polled in it, and what it holds.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) deadline: ScopeDeadline,
    /// The earliest deadline that holds in it: its own, or one of those around it.
    pub(crate) effective_ns: u64,
    /// Its own; [`NEVER`] if it has none, or one around it is not later.
    own_ns: u64,
    /// Whether it was made without a deadline of its own by choice.
    unbounded: bool,
    /// In which frame its future was polled last.
    pub(crate) frame: Frame,
    /// Who waits for its tasks, its body having returned.
    pub(crate) joins: Option<Note>,
    timer: Option<TimerKey>,
    /// What ended it, and when in the order of all that ends anything.
    end: Option<(u64, ScopeEnd)>,
    parent: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    /// Tasks among its children.
    pub(crate) tasks: u32,
    /// Its future's last poll.
    polled_at: u64,
    waker: Option<Waker>,
    pub(crate) members: Slab<Member>,
    pub(crate) hooks: BTreeMap<u64, HookFn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scope,
    /// A task that a scope has spawned.
    Task(Id),
    /// What no end around it reaches.
    Shield,
}

/// What waits in a scope, to be woken when the scope ends.
pub(crate) enum Member {
    Operation { source: Id, direction: Direction, name: u32 },
    Waker(Waker),
}

/// What a new node is.
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) parent: Option<Id>,
    pub(crate) deadline: ScopeDeadline,
    pub(crate) own_ns: u64,
    /// Whether it was made without a deadline of its own by choice.
    pub(crate) unbounded: bool,
}

/// What was left in a node that was closed, to be dropped where a drop does no harm.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) tasks: Vec<Id>,
    pub(crate) node: Option<Node>,
}

impl Scopes {
    /// Adds a node. In a scope that has ended it has ended as well.
    pub(crate) fn open(&mut self, plan: Plan) -> Id {
        let Plan { kind, parent, deadline, own_ns, unbounded } = plan;
        let mut node = Node {
            kind,
            deadline,
            effective_ns: own_ns,
            own_ns,
            unbounded,
            frame: Frame::NONE,
            joins: None,
            timer: None,
            end: None,
            parent: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            tasks: 0,
            polled_at: 0,
            waker: None,
            members: Slab::new(),
            hooks: BTreeMap::new(),
        };
        let index = self.nodes.next_index();
        if let Some(id) = parent {
            match self.nodes.get_mut(id) {
                None => node.end = Some((0, ScopeEnd::over(&node.deadline.name))),
                Some(parent) => {
                    node.parent = id.index;
                    node.next = std::mem::replace(&mut parent.first_child, index);
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
        let next = node.next;
        let id = self.nodes.insert(node);
        debug_assert_eq!(id.index, index);
        if let Some(next) = self.at(next) {
            next.previous = index;
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
            Some(node) => node.end.clone(),
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
            index = node.parent;
        }
    }

    /// That the deadline of `id` was missed, as seen at `fired_ns`.
    pub(crate) fn elapsed(&mut self, id: Id, fired_ns: u64, wait: Wait) -> Option<ScopeEnd> {
        let node = self.nodes.get_mut(id)?;
        Some(ScopeEnd::Elapsed(crate::scope::ScopeElapsed {
            deadline: Instant::from_nanos(node.own_ns),
            fired: Instant::from_nanos(fired_ns),
            of: node.deadline.clone(),
            wait,
        }))
    }

    /// Ends a node and all in it that no shield protects, unless it has ended. Returns whether it had not.
    pub(crate) fn end(
        &mut self,
        id: Id,
        end: &ScopeEnd,
        order: u64,
        sources: &mut Arena<Source>,
        timers: &mut Timers,
    ) -> bool {
        if self.nodes.get_mut(id).is_none_or(|node| node.end.is_some()) {
            return false;
        }
        let top = id.index;
        let mut index = top;
        loop {
            let descend = index == top || self.at(index).is_some_and(|node| node.is_reached());
            if descend {
                self.end_one(index, end, order, sources, timers);
            }
            let child = self.at(index).map_or(NONE, |node| node.first_child);
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
    fn after(&mut self, mut index: u32, top: u32) -> Option<u32> {
        while index != top {
            let node = self.at(index)?;
            if node.next != NONE {
                return Some(node.next);
            }
            index = node.parent;
        }
        None
    }

    fn end_one(
        &mut self,
        index: u32,
        end: &ScopeEnd,
        order: u64,
        sources: &mut Arena<Source>,
        timers: &mut Timers,
    ) {
        let Scopes { nodes, woken, hooks_due, .. } = self;
        let Some((_, node)) = nodes.at_index(index) else { return };
        node.end = Some((order, end.clone()));
        if let Some(timer) = node.timer.take() {
            timers.cancel(timer);
        }
        woken.extend(node.waker.take());
        for member in std::mem::take(&mut node.members) {
            match member.1 {
                Member::Waker(waker) => woken.push(waker),
                Member::Operation { source, direction, name } => {
                    let source = sources.get_mut(source);
                    woken.extend(source.and_then(|source| source.side(direction).waiters.remove(name)));
                }
            }
        }
        let hooks = std::mem::take(&mut node.hooks);
        hooks_due.extend(hooks.into_iter().map(|(number, hook)| (number, (end.clone(), hook))));
        if node.kind == Kind::Shield {
            let parent = node.parent;
            self.wake_waiting(parent);
        }
    }

    /// Wakes the futures around a shield or a task that is over, within one task: one that has ended and waited
    /// for it need not have awaited it, and then has a waker of its own.
    fn wake_waiting(&mut self, mut index: u32) {
        let Scopes { nodes, woken, .. } = self;
        while let Some((_, node)) = nodes.at_index(index).filter(|(_, node)| node.end.is_some()) {
            woken.extend(node.waker.take());
            if matches!(node.kind, Kind::Task(_)) {
                return;
            }
            index = node.parent;
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
        sources: &mut Arena<Source>,
        timers: &mut Timers,
    ) -> Closed {
        let mut closed = Closed::default();
        let Some(node) = self.nodes.get_mut(id) else { return closed };
        let over = ScopeEnd::over(&node.deadline.name);
        // A scope that is done was not ended: its hooks do not run, but what still waits in it is told.
        let (hooks, waker) = (std::mem::take(&mut node.hooks), node.waker.take());
        if node.end.is_none() {
            self.end_one(id.index, &over, order, sources, timers);
        }
        while let Some(child) = self.at(id.index).map(|node| node.first_child).filter(|c| *c != NONE) {
            if let Some(Kind::Task(task)) = self.at(child).map(|child| child.kind) {
                closed.tasks.push(task);
            }
            self.unlink(child);
            if let Some((child, _)) = self.nodes.at_index(child) {
                self.end(child, &over, order, sources, timers);
            }
        }
        self.unlink(id.index);
        closed.node = self.nodes.remove(id);
        if let Some(node) = &mut closed.node {
            (node.hooks, node.waker) = (hooks, waker);
        }
        closed
    }

    fn unlink(&mut self, index: u32) {
        let Some(node) = self.at(index) else { return };
        let (parent, next, previous) = (node.parent, node.next, node.previous);
        let is_task = matches!(node.kind, Kind::Task(_));
        (node.parent, node.next, node.previous) = (NONE, NONE, NONE);
        if let Some(next) = self.at(next) {
            next.previous = previous;
        }
        if let Some(previous) = self.at(previous) {
            previous.next = next;
        }
        let Scopes { nodes, woken, .. } = self;
        let Some((_, parent)) = nodes.at_index(parent) else { return };
        if parent.first_child == index {
            parent.first_child = next;
        }
        if is_task {
            parent.tasks -= 1;
            if parent.tasks == 0 {
                woken.extend(parent.waker.take());
                let around = parent.parent;
                self.wake_waiting(around);
            }
        }
    }

    /// A future is about to be polled in `id`, within `frame`. Returns whether the scope has ended, and when the poll began.
    pub(crate) fn begin_poll(&mut self, id: Id, frame: Frame) -> (bool, u64) {
        self.polls += 1;
        let polls = self.polls;
        match self.nodes.get_mut(id) {
            Some(node) => {
                node.polled_at = polls;
                node.frame = frame;
                (node.end.is_some(), polls)
            }
            None => (true, polls),
        }
    }

    /// Whether `id` is woken by `waker` when something happens to it.
    pub(crate) fn is_woken_by(&mut self, id: Id, waker: &Waker) -> bool {
        let node = self.nodes.get_mut(id);
        node.is_none_or(|node| node.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)))
    }

    /// Has `id` woken by `waker`; returns what is to be dropped for it.
    pub(crate) fn set_waker(&mut self, id: Id, waker: Waker) -> Option<Waker> {
        match self.nodes.get_mut(id) {
            Some(node) => node.waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Whether the future of `id`, which waits after the end, does so for what ends by itself: for a scope or
    /// a shield that it has looked at in its poll, which began at `began`, or for one whose tasks still run or
    /// whose shield still holds.
    pub(crate) fn waits_for_its_own(&mut self, id: Id, began: u64) -> bool {
        let mut child = self.nodes.get_mut(id).map_or(NONE, |node| node.first_child);
        while let Some(node) = self.at(child) {
            let (kind, polled_at, next) = (node.kind, node.polled_at, node.next);
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
            index = match node.first_child {
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
        self.nodes.get_mut(id)?.members.try_remove(member)
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
            index = node.parent;
        }
        names.reverse();
        names
    }

    /// In which frame its future was polled last, and which scope is around it.
    pub(crate) fn frame_and_parent(&mut self, id: Id) -> Option<(Frame, Option<Id>)> {
        let (frame, parent) = self.nodes.get_mut(id).map(|node| (node.frame, node.parent))?;
        Some((frame, self.nodes.at_index(parent).map(|(parent, _)| parent)))
    }

    /// Whether it was made without a deadline of its own by choice.
    pub(crate) fn is_unbounded(&mut self, id: Id) -> bool {
        self.nodes.get_mut(id).is_some_and(|node| node.unbounded)
    }

    /// The scopes around which there is none: an end of all is an end of these.
    pub(crate) fn roots(&mut self) -> Vec<Id> {
        self.nodes.iter_mut().filter(|(_, node)| node.parent == NONE).map(|(id, _)| id).collect()
    }
}

impl Node {
    /// Whether it has neither ended nor a deadline that could end it.
    #[inline]
    pub(crate) fn is_open_for_ever(&self) -> bool {
        self.end.is_none() && self.effective_ns == NEVER
    }

    /// Whether an end around it reaches it.
    fn is_reached(&self) -> bool {
        self.end.is_none() && self.kind != Kind::Shield
    }
}
