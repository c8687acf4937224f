//! The HTTP client: conformance group P, its half.

mod nginx;
mod peer;
mod phases;
