//! TCP: how streams come about, their options, listeners.

mod keepalive;
mod listen;
mod listener;
mod options;
mod setup;
mod stream;

pub use keepalive::Keepalive;
pub use listen::Listen;
pub use listener::TcpListener;
pub use setup::TcpOptions;
pub use stream::TcpStream;
