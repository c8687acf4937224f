//! Scopes: a name, a deadline and an end that everything in them shares.
//!
//! ```text
//!  scope("request", 2 s) ─┬─ body: read, write, …      each waiting operation is a member of the node in
//!   a node of the tree    │   └─ scope("lookup", …)    whose future it is polled; an end, be it a deadline
//!   (tree.rs)             ├─ task ─ …                  in the wheel, a cancel or the shutdown, goes down
//!                         └─ task ─ shield(100 ms) ─ … the tree, stops at shields, and wakes them all
//! ```
//!
//! The tree is the reactor's and calls nobody. The futures (`strand.rs`) set the current scope around each poll,
//! which is where an operation finds it.

mod cancel;
mod children;
mod end;
mod error;
mod hook;
mod inside;
mod node;
mod open;
mod shield;
mod strand;
pub(crate) mod tree;
mod turn;
mod waiting;
mod watch;

pub use cancel::{Canceller, ScopeId};
pub use children::{ChildFailure, ScopedJoinHandle};
pub use end::{ScopeDeadline, ScopeElapsed, ScopeEnd};
pub use error::ScopeError;
pub use hook::Hook;
pub use inside::{
    ScopeInfo, check_scope, current_scope, current_scope_id, in_scope, in_scope_as, in_scope_beside,
    in_scope_for, outside_scopes,
};
pub use open::{Limit, Scope, Unbounded, scope};
pub use shield::shield;
pub(crate) use waiting::Waiting;
pub use watch::ScopeWatch;
