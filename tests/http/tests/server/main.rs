//! The HTTP server: conformance group P, its half.
