//! TLS: conformance group L.
