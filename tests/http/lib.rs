//! What the topics share: certificates, scripted peers, oracles.

pub mod certificates;
pub mod nginx;
pub mod peer;
pub mod rig;
