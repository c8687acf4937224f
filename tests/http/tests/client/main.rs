//! The HTTP client: conformance group P, its half.

mod bodies;
mod nginx;
mod peer;
mod phases;
mod pool;
