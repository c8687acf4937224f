//! HTTP/1.1 and HTTP/2 over [hyper](https://docs.rs/hyper/1): a client and a server whose every phase is under a deadline.

pub mod client;
pub mod server;
mod timeline;

pub use client::{Client, Response, Timeouts};
pub use server::{
    Body, Drained, Drainer, HttpService, Limits, RequestInfo, Serve, ServerTimeouts, serve, service_fn,
};
pub use timeline::{Hop, PhaseTime, Timeline};
