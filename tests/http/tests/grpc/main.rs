//! gRPC: deadlines on the wire.

mod bytes_service;
mod client;
mod hops;
mod misbehaving;
mod python;
mod server;
mod tokio_side;
mod told;
