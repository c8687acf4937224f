//! TCP: streams, listeners, halves.

mod backoff;
mod calls;
mod futures_io;
mod listener;
mod options;
mod split;
mod stream;

pub use listener::TcpListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf};
pub use stream::TcpStream;
