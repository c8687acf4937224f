//! Group timers.
