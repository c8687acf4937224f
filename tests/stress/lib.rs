//! What faults and load on the real kernel are tested with: a proxy that does what networks do, and the oracles.
//!
//! ```text
//! cargo run --release -p punctual-tests-stress -- --minutes 10 --seed 7      the soak
//! cargo test -p punctual-tests-stress                                        bounded
//! ```

pub mod child;
pub mod proxy;
pub mod rig;
