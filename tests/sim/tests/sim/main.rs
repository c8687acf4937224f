//! Whole scenarios on the simulated kernel, and on the real one. `PUNCTUAL_SEED` runs one seed again, `PUNCTUAL_SEEDS` says how many there
//! are, `PUNCTUAL_TRACE` prints each call.

mod everywhere;
mod kit;
mod real;
mod seeds;
