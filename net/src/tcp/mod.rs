//! TCP: how streams come about, their options, listeners.

mod listener;
mod options;
mod stream;

pub use listener::TcpListener;
pub use stream::TcpStream;
