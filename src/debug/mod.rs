//! What the runtime tells of itself while it runs.

mod state;

pub use state::{Counters, Distribution, DriftState, PhaseWaits, State, WaitState, WaitsState};
