//! TLS: conformance group L.

mod certificates;
mod handshakes;
mod leaks;
mod openssl;
mod raw;
mod records;
mod rig;
mod same_bytes;
mod streams;
