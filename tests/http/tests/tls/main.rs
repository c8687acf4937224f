//! TLS: conformance group L.

mod certificates;
mod handshakes;
mod raw;
mod records;
mod rig;
mod same_bytes;
mod streams;
