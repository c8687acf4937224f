//! Group connect.
