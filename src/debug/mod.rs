//! What the runtime tells of itself while it runs: [`State`] in one document, [`Server`] over HTTP.

mod pages;
mod server;
mod state;

pub use server::{Builder, Running, Server};
pub use state::{
    BlameState, Counters, CulpritEntry, Distribution, DriftState, PhaseState, PhaseWaits, State,
    TaskEntry, WaitState, WaitsState,
};
