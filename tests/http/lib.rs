//! What the topics share: certificates, scripted peers, oracles.

pub mod certificates;
pub mod namespace;
pub mod nginx;
pub mod peer;
pub mod rig;
