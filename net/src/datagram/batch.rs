//! [`Batch`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use punctual_reactor::messages;

use super::Datagram;
use crate::socket::transport::DatagramTransport;

/// Room for datagrams that are received together, by [`recv_batch`](crate::Socket::recv_batch), and the
/// datagrams themselves. It allocates when it is made and not again.
pub struct Batch<A = SocketAddr> {
    room: Box<[u8]>,
    each: usize,
    arrivals: Vec<messages::Arrival>,
    datagrams: Vec<Datagram<A>>,
}

impl<A> Batch<A> {
    /// The most datagrams that one batch has room for.
    pub const MAX: usize = messages::BATCH_MAX;

    /// Room for `datagrams` of up to `bytes` each; at least one datagram and one byte, at most [`MAX`](Batch::MAX)
    /// datagrams.
    ///
    /// # Panics
    /// If there is no memory for it.
    #[must_use]
    pub fn new(datagrams: usize, bytes: usize) -> Batch<A> {
        let (datagrams, each) = (datagrams.clamp(1, Self::MAX), bytes.max(1));
        let room = datagrams.checked_mul(each).expect("as many bytes as a usize counts");
        Batch {
            room: vec![0; room].into(),
            each,
            arrivals: Vec::with_capacity(datagrams),
            datagrams: Vec::with_capacity(datagrams),
        }
    }

    /// How many datagrams it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.room.len() / self.each
    }

    /// How many datagrams the last receive has brought.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// One of them and its bytes, by its place in the order in which they came.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&Datagram<A>, &[u8])> {
        let datagram = self.datagrams.get(index)?;
        let start = index * self.each;
        Some((datagram, &self.room[start..start + datagram.len]))
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&Datagram<A>, &[u8])> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn clear(&mut self) {
        self.datagrams.clear();
    }

    pub(super) fn bytes(&self) -> usize {
        self.datagrams.iter().map(|datagram| datagram.len).sum()
    }

    pub(super) fn fill<T: DatagramTransport<Address = A>>(
        &mut self,
        fd: BorrowedFd<'_>,
        timestamp: bool,
    ) -> io::Result<usize> {
        self.arrivals.clear();
        let buffers = self.room.chunks_exact_mut(self.each);
        messages::receive_many(fd, buffers, timestamp, &mut self.arrivals)?;
        self.datagrams.extend(self.arrivals.iter().map(Datagram::of::<T>));
        Ok(self.datagrams.len())
    }
}

impl<A: fmt::Debug> fmt::Debug for Batch<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("capacity", &self.capacity())
            .field("bytes_each", &self.each)
            .field("datagrams", &self.datagrams)
            .finish_non_exhaustive()
    }
}
