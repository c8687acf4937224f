//! What a [`Socket`] runs over. These are names for the compiler; there are no values of them.

use std::fmt;
use std::os::fd::AsFd;

use punctual_reactor::Source;

use super::Socket;
use crate::error::Error;

/// TCP over IPv4 and IPv6 (tcp(7)).
#[derive(Debug)]
pub enum Tcp {}

/// Unix stream sockets (unix(7)).
#[derive(Debug)]
pub enum Unix {}

/// UDP over IPv4 and IPv6 (udp(7)).
#[derive(Debug)]
pub enum Udp {}

/// Unix datagram sockets (unix(7)).
#[derive(Debug)]
pub enum UnixMessages {}

/// Memory of this process: a [`duplex`](crate::duplex()) stream.
#[derive(Debug)]
pub enum Memory {}

/// What a [`Socket`] runs over. It is sealed: the kinds of this crate are all there are.
pub trait Transport: sealed::Kind {}

/// A transport that is the kernel's: its sockets have descriptors and options.
pub trait KernelTransport: Transport + sealed::Kernel {}

/// A transport that carries a stream of bytes between two ends.
pub trait StreamTransport: Transport + sealed::Stream {}

/// A transport of streams that are connected by one end and accepted by the other.
pub trait ListenerTransport: StreamTransport + KernelTransport + sealed::Listening {}

/// A transport that carries messages, each whole and by itself.
pub trait DatagramTransport: KernelTransport + sealed::Datagrams {}

pub(crate) mod sealed {
    use std::io::{self, IoSlice, IoSliceMut};
    use std::net::Shutdown;

    use socket2::SockAddr;

    use super::{AsFd, Error, Socket, Source, Transport, fmt};
    use crate::datagram::ends::Ends;
    use crate::phase::Probe;

    pub trait Kind: Sized + 'static {
        /// What its registration owns: the socket as the poll knows it.
        type Io: Source + Unpin + 'static;
        /// What is known of its two ends.
        type Names: fmt::Debug + Unpin + 'static;
        /// The address of one end.
        type Address: Clone + fmt::Debug + fmt::Display + 'static;
        /// What its owner calls it.
        const TYPE: &'static str;

        /// Completes an error with the name of the other end.
        fn explain(socket: &Socket<Self>, error: Error) -> Error
        where
            Self: Transport;

        /// What can complete an error once the socket is somebody else's.
        fn probe(_: &Socket<Self>) -> Probe
        where
            Self: Transport,
        {
            Probe::default()
        }
    }

    pub trait Kernel: Kind<Io: AsFd> {}

    impl<T: Kind<Io: AsFd>> Kernel for T {}

    /// The calls that are the same for all streams, but of different types.
    pub trait Stream: Kind {
        fn read(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize>;
        fn read_vectored(io: &Self::Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
        fn peek(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize>;
        fn write(io: &Self::Io, bytes: &[u8]) -> io::Result<usize>;
        fn write_vectored(io: &Self::Io, buffers: &[IoSlice<'_>]) -> io::Result<usize>;
        fn shutdown(io: &Self::Io, how: Shutdown) -> io::Result<()>;
    }

    /// How a listener of such streams goes about it.
    pub trait Listening: Stream {
        /// The listening socket as the poll knows it.
        type Listener: Source + AsFd + 'static;

        fn local(listener: &Self::Listener) -> io::Result<Self::Address>;
        fn accept(listener: &Self::Listener) -> io::Result<(Self::Io, Self::Address)>;
        /// Makes a stream of what was accepted.
        fn accepted(io: Self::Io, peer: &Self::Address) -> Result<Socket<Self>, Error>
        where
            Self: Transport;
    }

    /// What is different of datagrams.
    pub trait Datagrams: Kind<Names = Ends<<Self as Kind>::Address>> {
        /// Whether the kernel says `EAGAIN`, and never that there is room again, where the queue of the
        /// receiver is full and the socket not connected to it.
        const FULL_QUEUES_ARE_SILENT: bool;

        fn to_kernel(address: &Self::Address) -> io::Result<SockAddr>;
        fn from_kernel(address: &SockAddr) -> Self::Address;
        /// Names the other end in an error.
        fn at(error: Error, address: &Self::Address) -> Error;
    }
}
