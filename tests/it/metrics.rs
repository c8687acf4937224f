//! Every figure of the metrics against a measurement that is not the code's own.

#[cfg(feature = "prometheus")]
mod exposition;
