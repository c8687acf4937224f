//! Group half_close.
