//! Side-by-side benchmarks of punctual and its peers; see `wheel.rs`.
