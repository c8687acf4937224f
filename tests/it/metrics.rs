//! Every figure of the metrics against a measurement that is not the code's own: the test's counts and clock, the
//! kernel's files, and strace.

#[cfg(feature = "prometheus")]
mod collector;
mod counts;
mod drift;
#[cfg(feature = "prometheus")]
mod exposition;
mod kernel;
mod life;
mod phases;
