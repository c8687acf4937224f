//! The HTTP client: conformance group P, its half.

mod bodies;
mod dropping;
mod http2;
mod nginx;
mod peer;
mod phases;
mod pool;
mod requests;
