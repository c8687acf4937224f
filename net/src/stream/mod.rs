//! Streams of bytes, whatever they run over: reading, writing, ending, halves, the I/O traits.

mod backoff;
mod calls;
mod end;
mod futures_io;
mod listener;
mod pooled;
mod read;
mod split;
mod write;

pub(crate) use calls::{NO_SIGNAL, send, send_vectored};
pub(crate) use listener::BACKLOG;
pub use listener::Listener;
pub use pooled::Pooled;
pub use split::{OwnedReadHalf, OwnedWriteHalf};
