//! Streams of bytes, whatever they run over: reading, writing, ending, halves, the I/O traits.

mod calls;
mod end;
mod futures_io;
mod read;
mod split;
mod write;

pub use split::{OwnedReadHalf, OwnedWriteHalf};
