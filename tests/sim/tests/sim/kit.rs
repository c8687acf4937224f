//! What the test kit does.
