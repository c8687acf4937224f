//! Unix sockets: addresses, streams, listeners, datagrams.

mod address;
mod connect;
mod datagram;
mod listener;
mod stream;

pub use address::UnixAddress;
pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::{Credentials, UnixStream};
