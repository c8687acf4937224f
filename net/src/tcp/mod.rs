//! TCP: how streams come about, their options, listeners.

mod backoff;
mod listener;
mod options;
mod stream;

pub use listener::TcpListener;
pub use stream::TcpStream;
