//! The local executor: tasks on the reactor's own turn.
//!
//! ```text
//!  Runtime ──▶ Driver ──▶ Reactor (turn.rs)
//!                │            │ wakes
//!                ▼            ▼
//!              tasks ◀── run queue ◀── TaskWaker (same thread: a push; other threads: inbox + signal)
//! ```

mod account;
pub(crate) mod context;
mod driver;
mod elsewhere;
mod identity;
mod join;
mod joining;
mod joins;
mod laps;
mod locals;
mod observer;
mod polling;
mod remote_join;
mod run_queue;
mod runtime;
mod send_future;
mod stage;
mod task;
mod task_info;
mod tasks;

pub(crate) use driver::{Driver, drop_contained};
pub use elsewhere::WaitElsewhere;
pub use identity::RuntimeId;
pub use join::{JoinError, JoinHandle};
pub use observer::{PollEdge, set_poll_observer};
pub use remote_join::RemoteJoinHandle;
pub(crate) use runtime::ShutdownRequested;
pub use runtime::{Runtime, next_turn, shutdown_requested, spawn, spawn_named, yield_now};
pub use send_future::{SendFuture, send_future};
pub(crate) use task_info::{Origin, describe_task};
pub use task_info::{TaskId, TaskInfo, TaskState, current_task, task_info, tasks};
