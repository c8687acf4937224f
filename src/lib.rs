//! punctual.
