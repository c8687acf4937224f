//! The two owned halves of a stream.

use std::fmt;
use std::net::Shutdown;
use std::ops::Deref;
use std::rc::Rc;

use crate::tcp::TcpStream;

/// The reading half of a [`TcpStream`]; made by [`TcpStream::into_split`]. It dereferences to the stream.
pub struct OwnedReadHalf {
    stream: Rc<TcpStream>,
}

/// The writing half of a [`TcpStream`]; made by [`TcpStream::into_split`]. It dereferences to the stream.
/// Dropping it ends the writing side, so that the peer reads the end.
pub struct OwnedWriteHalf {
    /// Taken when it is reunited.
    stream: Option<Rc<TcpStream>>,
}

pub(super) fn split(stream: Rc<TcpStream>) -> (OwnedReadHalf, OwnedWriteHalf) {
    (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream: Some(stream) })
}

impl OwnedReadHalf {
    /// Puts the halves of one stream together again, without ending anything.
    ///
    /// # Errors
    /// The two, if they are not of one stream.
    pub fn reunite(
        self,
        mut other: OwnedWriteHalf,
    ) -> Result<TcpStream, (OwnedReadHalf, OwnedWriteHalf)> {
        match other.stream.take_if(|stream| Rc::ptr_eq(stream, &self.stream)) {
            None => Err((self, other)),
            Some(stream) => {
                drop(stream);
                Rc::try_unwrap(self.stream).map_err(split)
            }
        }
    }
}

impl OwnedWriteHalf {
    /// Lets go of it without ending the writing side, which then lasts as long as the other half.
    pub fn forget(mut self) {
        self.stream = None;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // A stream that is closed or reset has no writing side left to end.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Deref for OwnedReadHalf {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Deref for OwnedWriteHalf {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        match &self.stream {
            Some(stream) => stream,
            None => unreachable!("it is taken only by what consumes the half"),
        }
    }
}

impl fmt::Debug for OwnedReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedReadHalf").field(&self.stream).finish()
    }
}

impl fmt::Debug for OwnedWriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedWriteHalf").field(&self.stream).finish()
    }
}
