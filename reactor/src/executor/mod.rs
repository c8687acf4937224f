//! The local executor: tasks on the reactor's own turn.
//!
//! ```text
//!  Runtime ──▶ Driver ──▶ Reactor (turn.rs)
//!                │            │ wakes
//!                ▼            ▼
//!              tasks ◀── run queue ◀── TaskWaker (same thread: a push; other threads: inbox + signal)
//! ```

pub(crate) mod context;
mod driver;
mod elsewhere;
mod identity;
mod join;
mod locals;
mod remote_join;
mod runtime;
mod task;

pub(crate) use driver::{Driver, drop_contained};
pub use elsewhere::WaitElsewhere;
pub use identity::RuntimeId;
pub(crate) use join::JoinState;
pub use join::{JoinError, JoinHandle};
pub use remote_join::RemoteJoinHandle;
pub use runtime::{Runtime, drift, metrics, shutdown_requested, spawn, yield_now};
pub(crate) use task::MAIN;
