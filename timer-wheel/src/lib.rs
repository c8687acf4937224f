//! A hierarchical timer wheel with nanosecond deadlines, generation-checked keys and bounded work per call.
#![forbid(unsafe_code)]

mod advance;
mod check;
mod next;
mod node;
mod ring;
mod tree;
mod types;
mod wheel;

pub use types::{Budget, Expired, Full, Key, Progress, Tick};
pub use wheel::Wheel;

/// The deadline that never comes: a timer with it is disarmed, and held until it is reset or cancelled.
pub const NEVER: u64 = u64::MAX;
