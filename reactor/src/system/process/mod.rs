//! Child processes whose exit is awaited under a deadline (feature `process`).
//!
//! ```text
//!   Command::spawn ──▶ Child ── wait() ──▶ pidfd in the poll (Linux 5.3)   or   SIGCHLD, then asked (elsewhere)
//!                        │
//!                        └─ dropped ──▶ a task that reaps it ── runtime gone ──▶ a thread that reaps it
//! ```
//!
//! No zombie is left, whatever becomes of the [`Child`], its wait, or its runtime.

mod child;
mod command;
mod orphans;
mod watched;

pub use child::Child;
pub use command::Command;
