//! The two owned halves of a stream.

use std::fmt;
use std::net::Shutdown;
use std::ops::Deref;
use std::rc::Rc;

use crate::socket::Socket;
use crate::socket::transport::{StreamTransport, Tcp};

/// The reading half of a stream; made by [`Socket::into_split`]. It dereferences to the stream.
pub struct OwnedReadHalf<T: StreamTransport = Tcp> {
    stream: Rc<Socket<T>>,
}

/// The writing half of a stream; made by [`Socket::into_split`]. It dereferences to the stream.
/// Dropping it ends the writing side, so that the peer reads the end.
pub struct OwnedWriteHalf<T: StreamTransport = Tcp> {
    /// Taken when it is reunited.
    stream: Option<Rc<Socket<T>>>,
}

pub(super) fn split<T: StreamTransport>(stream: Rc<Socket<T>>) -> (OwnedReadHalf<T>, OwnedWriteHalf<T>) {
    (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream: Some(stream) })
}

impl<T: StreamTransport> OwnedReadHalf<T> {
    /// Puts the halves of one stream together again, without ending anything.
    ///
    /// # Errors
    /// The two, if they are not of one stream.
    pub fn reunite(
        self,
        mut other: OwnedWriteHalf<T>,
    ) -> Result<Socket<T>, (OwnedReadHalf<T>, OwnedWriteHalf<T>)> {
        match other.stream.take_if(|stream| Rc::ptr_eq(stream, &self.stream)) {
            None => Err((self, other)),
            Some(stream) => {
                drop(stream);
                Rc::try_unwrap(self.stream).map_err(split)
            }
        }
    }
}

impl<T: StreamTransport> OwnedWriteHalf<T> {
    /// Lets go of it without ending the writing side, which then lasts as long as the other half.
    pub fn forget(mut self) {
        self.stream = None;
    }
}

impl<T: StreamTransport> Drop for OwnedWriteHalf<T> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // A stream that is closed or reset has no writing side left to end.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl<T: StreamTransport> Deref for OwnedReadHalf<T> {
    type Target = Socket<T>;

    fn deref(&self) -> &Socket<T> {
        &self.stream
    }
}

impl<T: StreamTransport> Deref for OwnedWriteHalf<T> {
    type Target = Socket<T>;

    fn deref(&self) -> &Socket<T> {
        match &self.stream {
            Some(stream) => stream,
            None => unreachable!("it is taken only by what consumes the half"),
        }
    }
}

impl<T: StreamTransport> fmt::Debug for OwnedReadHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedReadHalf").field(&self.stream).finish()
    }
}

impl<T: StreamTransport> fmt::Debug for OwnedWriteHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedWriteHalf").field(&self.stream).finish()
    }
}
