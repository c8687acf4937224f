//! Group bad_input.
