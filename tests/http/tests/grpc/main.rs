//! gRPC: deadlines on the wire.

mod bytes_service;
mod client;
mod tokio_side;
