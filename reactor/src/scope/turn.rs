//! What the loop does with scopes.

use crate::arena::Id;
use crate::drift::Wait;
use crate::event::Cause;
use crate::reactor::Reactor;
use crate::scope::ScopeEnd;
use crate::scope::tree::{Closed, Kind, Plan};
use crate::source::NEVER;
use crate::timers::Due;

impl Reactor {
    /// The next number in the order of all that ends anything.
    pub(crate) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(crate) fn open_scope(&mut self, plan: Plan) -> Id {
        let is_root = plan.parent.is_none() && plan.kind != Kind::Shield;
        let id = self.scopes.open(plan);
        if self.shut_down && is_root {
            self.end_scope(id, &ScopeEnd::Shutdown);
        }
        let Reactor { scopes, timers, leeway, now_ns, .. } = self;
        scopes.file(id, |at_ns| {
            let leeway = leeway.for_timeout(at_ns.saturating_sub(*now_ns));
            timers.insert(at_ns, leeway, Due::Scope(id.index))
        });
        id
    }

    /// Ends a scope with all in it, unless it has ended. Returns whether it had not.
    pub(crate) fn end_scope(&mut self, id: Id, end: &ScopeEnd) -> bool {
        let order = self.next_order();
        let ended = self.scopes.end(id, end, order, &mut self.sources, &mut self.timers);
        self.metrics.cancelled_scopes += u64::from(ended && end.is_cancelled());
        self.metrics.elapsed_scopes += u64::from(ended && end.is_timeout());
        ended
    }

    /// Returns whether there is such a scope.
    pub(crate) fn cancel_scope(&mut self, id: Id, cause: Cause) -> bool {
        let Some(node) = self.scopes.nodes.get_mut(id) else { return false };
        let end = ScopeEnd::Cancelled(cause.of_scope(node.deadline.name.clone()));
        self.end_scope(id, &end);
        true
    }

    pub(crate) fn end_all_scopes(&mut self, end: &ScopeEnd) {
        for id in self.scopes.roots() {
            if self.scopes.nodes.get_mut(id).is_some_and(|node| node.kind != Kind::Shield) {
                self.end_scope(id, end);
            }
        }
    }

    pub(crate) fn close_scope(&mut self, id: Id) -> Closed {
        let order = self.next_order();
        self.scopes.close(id, order, &mut self.sources, &mut self.timers)
    }

    /// Why nothing may begin in the scope, if so. A deadline that has passed ends it here, before the wheel
    /// has come to it: what begins after it touches nothing.
    pub(crate) fn refuses(&mut self, id: Id) -> Option<ScopeEnd> {
        if self.scopes.nodes.get_mut(id).is_some_and(|node| node.is_open_for_ever()) {
            return None;
        }
        if let Some((_, end)) = self.scopes.end_of(id) {
            return Some(end);
        }
        let effective_ns = self.scopes.effective_ns(id);
        if effective_ns == NEVER {
            return None;
        }
        let now_ns = self.clock.now().as_nanos();
        self.now_ns = self.now_ns.max(now_ns);
        if effective_ns > now_ns { None } else { self.overdue(id, now_ns) }
    }

    /// Ends the scope whose deadline is the one that holds in `id`.
    pub(crate) fn overdue(&mut self, id: Id, now_ns: u64) -> Option<ScopeEnd> {
        let owner = self.scopes.owner_of_deadline(id)?;
        let end = self.scopes.elapsed(owner, now_ns, Wait::default())?;
        self.end_scope(owner, &end);
        self.scopes.end_of(id).map(|(_, end)| end)
    }
}
