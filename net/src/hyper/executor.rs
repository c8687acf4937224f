//! [`Executor`]: where hyper puts the futures that it does not poll itself.

use std::fmt;
use std::future::Future;

use punctual_reactor::{Scope, spawn};

/// Starts hyper's own futures, as those of an HTTP/2 connection, as tasks of the loop.
///
/// Given a [scope](punctual_reactor::scope), it makes them tasks of that scope, which end with it. Otherwise they are
/// detached, and end when hyper has done with them or the runtime is dropped.
#[derive(Clone, Default)]
pub struct Executor {
    scope: Option<Scope>,
}

impl Executor {
    /// Starts tasks of `scope`.
    #[must_use]
    pub fn in_scope(scope: &Scope) -> Executor {
        Executor { scope: Some(scope.clone()) }
    }

    /// Starts detached tasks, on the runtime of whoever polls the connection.
    #[must_use]
    pub fn detached() -> Executor {
        Executor { scope: None }
    }
}

impl<F: Future + 'static> ::hyper::rt::Executor<F> for Executor {
    /// # Panics
    /// Outside of a runtime, unless there is a scope.
    #[track_caller]
    fn execute(&self, future: F) {
        match &self.scope {
            Some(scope) => drop(scope.spawn(future)),
            None => drop(spawn(future)),
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("scope", &self.scope).finish()
    }
}
