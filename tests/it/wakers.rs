//! Group wakers.
