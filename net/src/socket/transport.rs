//! What a [`Socket`] runs over. These are names for the compiler; there are no values of them.

use std::fmt;
use std::os::fd::AsFd;

use punctual_reactor::Source;

use super::Socket;
use crate::error::Error;

/// TCP over IPv4 and IPv6 (tcp(7)).
#[derive(Debug)]
pub enum Tcp {}

/// What a [`Socket`] runs over. It is sealed: the kinds of this crate are all there are.
pub trait Transport: sealed::Kind {}

/// A transport that carries a stream of bytes between two ends.
pub trait StreamTransport: Transport + sealed::Stream {}

pub(crate) mod sealed {
    use std::io::{self, IoSliceMut};
    use std::net::Shutdown;

    use super::{AsFd, Error, Socket, Source, Transport, fmt};

    pub trait Kind: Sized + 'static {
        /// The socket as the poll knows it.
        type Io: Source + AsFd + 'static;
        /// What is known of its two ends.
        type Names: fmt::Debug + 'static;
        /// What its owner calls it.
        const TYPE: &'static str;

        /// Completes an error with the name of the other end.
        fn explain(socket: &Socket<Self>, error: Error) -> Error
        where
            Self: Transport;
    }

    /// The system calls that are the same for all streams, but of different types.
    pub trait Stream: Kind {
        fn read(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize>;
        fn read_vectored(io: &Self::Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
        fn peek(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize>;
        fn shutdown(io: &Self::Io, how: Shutdown) -> io::Result<()>;
    }
}
