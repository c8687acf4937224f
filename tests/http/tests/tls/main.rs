//! TLS: conformance group L.

mod streams;
