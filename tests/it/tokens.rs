//! Group tokens.
