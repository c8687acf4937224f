//! What the tests of the simulation share: scenarios, the world they run in, and who runs them.
//!
//! A scenario is one body for two worlds: the simulated kernel with all its faults, and the real one over loopback. It says of
//! everything that ends how it may have ended, and the `World` checks it.

pub mod certificates;
pub mod pattern;
pub mod runner;
pub mod scenarios;
pub mod world;
