//! W: wakers and the remote handle; and what panics, ends or is dropped on the way (K14 to K16).

mod handle;
mod panics;
mod storm;
mod tasks;
