//! Group signals.
