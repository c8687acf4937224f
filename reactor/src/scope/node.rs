//! [`Node`]: one scope, one task of a scope, or one shield, as the tree keeps it.

use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use slab::Slab;

use crate::arena::Id;
use crate::readiness::Direction;
use crate::scope::end::{ScopeDeadline, ScopeEnd};
use crate::source::NEVER;
use crate::timers::TimerKey;
use crate::waiters::{Note, Wakeup};
use crate::waits::Frame;

/// A future that is polled in a scope, and what it holds. There is one for each task of a scope, so what few of them
/// have is kept aside.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Whether it was made without a deadline of its own by choice.
    pub(super) unbounded: bool,
    /// Tasks among its children.
    pub(crate) tasks: u32,
    pub(super) links: Links,
    /// Of a task it is that of its scope.
    pub(crate) deadline: Rc<ScopeDeadline>,
    /// The earliest deadline that holds in it: its own, or one of those around it.
    pub(crate) effective_ns: u64,
    /// Its own; [`NEVER`] if it has none, or one around it is not later.
    pub(super) own_ns: u64,
    pub(super) timer: Option<TimerKey>,
    /// In which frame its future was polled last, and when.
    pub(crate) frame: Frame,
    pub(super) polled_at: u64,
    /// What ended it, and when in the order of all that ends anything.
    pub(super) end: Option<(u64, Rc<ScopeEnd>)>,
    /// Whoever polls its future, which of a task is that itself.
    pub(super) waker: Option<Waker>,
    pub(crate) members: Members,
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scope,
    /// A task that a scope has spawned.
    Task(Id),
    /// What no end around it reaches.
    Shield,
}

/// By index.
#[derive(Clone, Copy)]
pub(super) struct Links {
    pub(super) parent: u32,
    pub(super) first_child: u32,
    pub(super) next: u32,
    pub(super) previous: u32,
}

/// No node.
pub(super) const NONE: u32 = u32::MAX;

impl Links {
    pub(super) const NONE: Links = Links { parent: NONE, first_child: NONE, next: NONE, previous: NONE };
}

/// What few nodes have.
#[derive(Default)]
pub(crate) struct Rare {
    /// Who waits for its tasks, its body having returned.
    pub(crate) joins: Option<Note>,
    pub(crate) hooks: BTreeMap<u64, HookFn>,
}

/// What is to be run at the end of a scope, and where that was said.
pub(crate) struct HookFn {
    pub(crate) run: Box<dyn FnOnce(&ScopeEnd)>,
    pub(crate) set_at: &'static Location<'static>,
}

/// What a new node is.
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) parent: Option<Id>,
    pub(crate) deadline: Rc<ScopeDeadline>,
    pub(crate) own_ns: u64,
    /// Whether it was made without a deadline of its own by choice.
    pub(crate) unbounded: bool,
}

/// What was left in a node that was closed, to be dropped where a drop does no harm.
pub(crate) struct Left {
    pub(crate) waker: Option<Waker>,
    pub(crate) members: Members,
    pub(crate) rare: Option<Box<Rare>>,
}

impl Node {
    #[inline]
    pub(super) fn new(plan: Plan) -> Node {
        let Plan { kind, parent: _, deadline, own_ns, unbounded } = plan;
        Node {
            kind,
            unbounded,
            tasks: 0,
            links: Links::NONE,
            deadline,
            effective_ns: own_ns,
            own_ns,
            timer: None,
            frame: Frame::NONE,
            polled_at: 0,
            end: None,
            waker: None,
            members: Members::default(),
            rare: None,
        }
    }

    /// Whether it has neither ended nor a deadline that could end it.
    #[inline]
    pub(crate) fn is_open_for_ever(&self) -> bool {
        self.end.is_none() && self.effective_ns == NEVER
    }

    /// Whether an end around it reaches it.
    pub(super) fn is_reached(&self) -> bool {
        self.end.is_none() && self.kind != Kind::Shield
    }

    /// Whoever polls its future, to be woken once.
    pub(super) fn take_poller(&mut self) -> Option<Wakeup> {
        match self.kind {
            Kind::Task(task) => Some(Wakeup::Task(task)),
            _ => self.waker.take().map(Wakeup::Waker),
        }
    }

    /// Whether whoever polls its future with `waker` is woken.
    pub(super) fn is_polled_by(&self, waker: &Waker) -> bool {
        match self.kind {
            Kind::Task(_) => true,
            _ => self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)),
        }
    }

    /// Whether somebody is told of its end, beside whoever polls it.
    pub(super) fn tells_of_its_end(&self) -> bool {
        !self.members.is_empty() || self.timer.is_some() || self.kind == Kind::Shield
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn joins(&self) -> Option<Note> {
        self.rare.as_ref().and_then(|rare| rare.joins)
    }

    /// Whether its body has returned, or it has ended: then the last of its tasks to go is waited for.
    pub(super) fn waits_for_tasks(&self) -> bool {
        self.end.is_some() || self.joins().is_some()
    }

    pub(crate) fn take_hooks(&mut self) -> BTreeMap<u64, HookFn> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.hooks)).unwrap_or_default()
    }

    pub(crate) fn remove_hook(&mut self, number: u64) -> Option<HookFn> {
        self.rare.as_mut()?.hooks.remove(&number)
    }

    /// What is left of a node that is taken out, if anything is; `waker` was taken from it before.
    pub(super) fn left_with(self, waker: Option<Waker>) -> Option<Left> {
        let Node { members, rare, .. } = self;
        let is_nothing = waker.is_none() && members.is_empty() && rare.is_none();
        (!is_nothing).then_some(Left { waker, members, rare })
    }
}

/// What waits in a scope, to be told when that ends.
pub(crate) enum Member {
    Operation { source: Id, direction: Direction, name: u32 },
    Waker(Waker),
}

/// Nearly always there is one at a time.
#[derive(Default)]
pub(crate) struct Members {
    first: Option<Member>,
    more: Option<Box<Slab<Member>>>,
}

impl Members {
    /// Returns the name under which it is found again.
    pub(super) fn insert(&mut self, member: Member) -> usize {
        if self.first.is_none() {
            self.first = Some(member);
            return 0;
        }
        self.more.get_or_insert_default().insert(member) + 1
    }

    pub(super) fn get_mut(&mut self, name: usize) -> Option<&mut Member> {
        match name {
            0 => self.first.as_mut(),
            name => self.more.as_mut()?.get_mut(name - 1),
        }
    }

    pub(super) fn remove(&mut self, name: usize) -> Option<Member> {
        match name {
            0 => self.first.take(),
            name => self.more.as_mut()?.try_remove(name - 1),
        }
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Member> + use<> {
        let Members { first, more } = std::mem::take(self);
        first
            .into_iter()
            .chain(more.into_iter().flat_map(|more| more.into_iter().map(|(_, member)| member)))
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.is_empty())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.len())
    }
}
