//! The HTTP client: conformance group P, its half.

mod bodies;
mod broken;
mod dropping;
mod endings;
mod floods;
mod frames;
mod http2;
mod limits;
mod nginx;
mod peer;
mod phases;
mod pool;
mod redirects;
mod requests;
mod reuse;
mod sharing;
mod waiting;
