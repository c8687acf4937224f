//! What the topics share: certificates, scripted peers, oracles.

pub mod peer;
pub mod rig;
