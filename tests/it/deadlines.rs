//! Group deadlines.
