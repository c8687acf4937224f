//! The two owned halves of a stream over TLS.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::stream::TlsStream;
use crate::socket::transport::{StreamTransport, Tcp};

/// The reading half of a [`TlsStream`]; made by [`TlsStream::into_split`]. It dereferences to the stream.
pub struct OwnedReadHalf<T: StreamTransport = Tcp> {
    stream: Rc<TlsStream<T>>,
}

/// The writing half of a [`TlsStream`]; made by [`TlsStream::into_split`]. It dereferences to the stream.
///
/// Dropping it ends what we send, as far as that goes without waiting; to be sure of it, call
/// [`shutdown`](TlsStream::shutdown) first.
pub struct OwnedWriteHalf<T: StreamTransport = Tcp> {
    /// Taken when it is reunited.
    stream: Option<Rc<TlsStream<T>>>,
}

impl<T: StreamTransport> TlsStream<T> {
    /// Two owned halves, for two tasks; deadlines and timeouts stay as they are. [`OwnedReadHalf::reunite`] undoes it.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf<T>, OwnedWriteHalf<T>) {
        split(Rc::new(self))
    }

    /// Ends what we send, if that can be done at once.
    fn end_now(&self) {
        if let Some(io) = self.socket.io.get_ref() {
            // One that is closed, reset or full has no say any more.
            let _ = self.session.try_end(&self.socket, &io);
        }
    }
}

fn split<T: StreamTransport>(stream: Rc<TlsStream<T>>) -> (OwnedReadHalf<T>, OwnedWriteHalf<T>) {
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
    ) -> Result<TlsStream<T>, (OwnedReadHalf<T>, OwnedWriteHalf<T>)> {
        match other.stream.take_if(|stream| Rc::ptr_eq(stream, &self.stream)) {
            None => Err((self, other)),
            Some(stream) => {
                drop(stream);
                Rc::try_unwrap(self.stream).map_err(split)
            }
        }
    }
}

impl<T: StreamTransport> Drop for OwnedWriteHalf<T> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.end_now();
        }
    }
}

impl<T: StreamTransport> Deref for OwnedReadHalf<T> {
    type Target = TlsStream<T>;

    fn deref(&self) -> &TlsStream<T> {
        &self.stream
    }
}

impl<T: StreamTransport> Deref for OwnedWriteHalf<T> {
    type Target = TlsStream<T>;

    fn deref(&self) -> &TlsStream<T> {
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
