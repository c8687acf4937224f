//! What the benchmarks of punctual and its peers share.

pub mod queues;
