//! Behaviour of the wheel, by topic. `twin` is the slow and dumb wheel that the real one is held against.

mod twin;

mod bounds;
mod cancel;
mod expiry;
mod keys;
mod next;
mod order;
mod random;
mod rearm;
mod time;
