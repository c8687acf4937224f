//! [`Hook`]: what is to be run when a scope ends.

use std::fmt;
use std::panic::Location;
use std::rc::Weak;

use crate::arena::Id;
use crate::executor::{Driver, drop_contained};
use crate::scope::ScopeEnd;
use crate::scope::open::Scope;
use crate::scope::tree::HookFn;

/// A function that was given to [`Scope::on_end`]. Dropping this leaves it in place.
pub struct Hook {
    driver: Weak<Driver>,
    scope: Id,
    number: u64,
}

impl Scope {
    /// Has `hook` run once when the scope ends: when it is cancelled, misses its deadline, is dropped before it is
    /// done, or the runtime shuts down. It is run by the loop, in the turn in which the scope ended or the next
    /// (later only if so many are due that the tasks would have to wait for them), in no scope; a panic of it is
    /// contained. If the scope is done without having ended, it is dropped.
    ///
    /// In a scope that has ended it is run all the same; but once its runtime is being dropped, it is dropped at
    /// once.
    #[track_caller]
    pub fn on_end(&self, hook: impl FnOnce(&ScopeEnd) + 'static) -> Hook {
        let hook = HookFn { run: Box::new(hook), set_at: Location::caller() };
        if self.driver().is_closed() {
            // Nobody would run it, and what it holds might hold the runtime.
            drop_contained(hook);
            return Hook { driver: Weak::new(), scope: self.node(), number: 0 };
        }
        let mut reactor = self.driver().reactor.borrow_mut();
        let scopes = &mut reactor.scopes;
        scopes.hooks_made += 1;
        let (number, scope) = (scopes.hooks_made, self.node());
        match (scopes.end_of(scope), scopes.nodes.get_mut(scope)) {
            (None, Some(node)) => drop(node.rare().hooks.insert(number, hook)),
            (end, _) => {
                let end = end.map_or(ScopeEnd::Shutdown, |(_, end)| end);
                scopes.hooks_due.insert(number, (end, hook));
            }
        }
        drop(reactor);
        Hook { driver: std::rc::Rc::downgrade(self.driver()), scope, number }
    }
}

impl Hook {
    /// Takes the function back. After `true` it never runs; `false` if it has run, runs now, or its scope is done
    /// and it never will.
    pub fn stop(&self) -> bool {
        let Some(driver) = self.driver.upgrade() else { return false };
        let stopped = {
            let scopes = &mut driver.reactor.borrow_mut().scopes;
            let node = scopes.nodes.get_mut(self.scope);
            let waiting = node.and_then(|node| node.remove_hook(self.number));
            waiting.or_else(|| scopes.hooks_due.remove(&self.number).map(|(_, hook)| hook))
        };
        let was_there = stopped.is_some();
        drop_contained(stopped);
        was_there
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("number", &self.number).finish_non_exhaustive()
    }
}
