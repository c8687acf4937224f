//! The HTTP client: conformance group P, its half.

mod peer;
