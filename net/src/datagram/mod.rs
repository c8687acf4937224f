//! Messages, whatever they run over: receiving and sending, one or many at a time.

mod batch;
pub(crate) mod ends;
mod receive;
mod send;

use std::fmt;
use std::time::SystemTime;

use punctual_reactor::messages;

use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::DatagramTransport;

pub use batch::Batch;

/// What is known of one datagram that was received into a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram<A> {
    /// How many bytes of it are in the buffer, from its start.
    pub len: usize,
    /// Who has sent it.
    pub from: A,
    /// Whether it was longer than the buffer: the rest is lost (`MSG_TRUNC`, recvmsg(2)).
    pub truncated: bool,
    /// When the kernel took it in, if it [was asked](Socket::set_receive_timestamps) to say so. This is a time
    /// of the clock on the wall, which may be set and step; it is not to be compared with deadlines.
    pub received_at: Option<SystemTime>,
}

impl<A> Datagram<A> {
    fn of<T: DatagramTransport<Address = A>>(arrival: &messages::Arrival) -> Datagram<A> {
        Datagram {
            len: arrival.bytes,
            from: T::from_kernel(&arrival.from),
            truncated: arrival.truncated,
            received_at: arrival.at,
        }
    }
}

/// What a datagram socket is called in an error.
pub(crate) fn explain<T: DatagramTransport>(socket: &Socket<T>, error: Error) -> Error
where
    T::Address: fmt::Display,
{
    match &*socket.names.peer.borrow() {
        Some(peer) => T::at(error, peer),
        None if error.phase() == Phase::Read => {
            error.with_target(format!("any peer on {}", socket.names.local))
        }
        None => error.with_target(socket.names.local.to_string()),
    }
}
