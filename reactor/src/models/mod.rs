//! What other threads may do to a loop, in every order of their steps (loom), or in very many (shuttle).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p punctual-reactor --release --lib --target-dir target/loom models
//! RUSTFLAGS="--cfg shuttle" cargo test -p punctual-reactor --release --lib --target-dir target/shuttle models
//! ```
//!
//! [`Parking`](crate::parking::Parking) and [`Room`](crate::room::Room) are the real ones. The queue, the kernel's poll and
//! the tasks are stood in for: see [`world`].

mod world;

#[cfg(loom)]
mod inbox;
#[cfg(loom)]
mod wakes;

#[cfg(shuttle)]
mod storm;
