//! TCP: how streams come about, their options, listeners.

mod keepalive;
mod listen;
mod listener;
mod options;
mod polled;
mod setup;
mod stream;

pub use keepalive::Keepalive;
pub use listen::Listen;
pub use listener::TcpListener;
pub(crate) use polled::Polled;
pub use setup::TcpOptions;
pub use stream::TcpStream;
