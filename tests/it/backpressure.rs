//! Group backpressure.
