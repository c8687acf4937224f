//! hyper on the loop.
