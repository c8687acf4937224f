//! A byte stream in memory: no kernel, so that a virtual clock decides when everything happens.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

/// One end. Dropped, it ends what it sends, and refuses what it would be sent.
pub(crate) struct Duplex {
    incoming: Rc<RefCell<Channel>>,
    outgoing: Rc<RefCell<Channel>>,
    /// Where set, each call may be cut short or put off, at random.
    faults: Option<fastrand::Rng>,
}

#[derive(Default)]
struct Channel {
    bytes: VecDeque<u8>,
    room: usize,
    /// How many bytes were ever sent.
    sent: usize,
    /// The sender has ended.
    ended: bool,
    /// Nobody reads any more.
    refused: bool,
    /// Reading fails once it is empty.
    reset: bool,
    /// The most that it ever held.
    peak: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Channel {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// A connected pair, with room for `room` bytes each way.
pub(crate) fn duplex(room: usize) -> (Duplex, Duplex) {
    let channel = || Rc::new(RefCell::new(Channel { room, ..Channel::default() }));
    let (there, back) = (channel(), channel());
    let left = Duplex { incoming: back.clone(), outgoing: there.clone(), faults: None };
    (left, Duplex { incoming: there, outgoing: back, faults: None })
}

impl Duplex {
    /// Makes it awkward: calls are cut short and put off at random.
    pub(crate) fn faulty(mut self, seed: u64) -> Duplex {
        self.faults = Some(fastrand::Rng::with_seed(seed));
        self
    }

    pub(crate) async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buffer)).await
    }

    pub(crate) async fn send_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, bytes)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// How many bytes it has sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.outgoing.borrow().sent
    }

    /// Ends what it sends.
    pub(crate) fn end(&mut self) {
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.ended = true;
        outgoing.wake();
    }

    /// Breaks the connection: what was sent can be read, then comes the error.
    pub(crate) fn reset(self) {
        self.outgoing.borrow_mut().reset = true;
    }

    /// Everything until the end.
    pub(crate) async fn recv_all(&mut self) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.recv(&mut buffer).await? {
                0 => return Ok(all),
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// The most that waited to be read at this end at any time.
    pub(crate) fn peak(&self) -> usize {
        self.incoming.borrow().peak
    }

    /// Whether the other end has been dropped.
    pub(crate) fn is_alone(&self) -> bool {
        Rc::strong_count(&self.incoming) == 1
    }

    /// Whether to put this call off; if not, how much of `most` it moves.
    fn fault(&mut self, cx: &Context<'_>, most: usize) -> Option<usize> {
        let Some(random) = &mut self.faults else { return Some(most) };
        if random.u8(..) < 64 {
            cx.waker().wake_by_ref();
            return None;
        }
        Some(if most > 1 && random.bool() { random.usize(1..=most) } else { most })
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(most) = self.fault(cx, buffer.len()) else { return Poll::Pending };
        let mut incoming = self.incoming.borrow_mut();
        let bytes = incoming.bytes.len().min(most);
        if bytes == 0 && !buffer.is_empty() {
            if incoming.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !incoming.ended {
                incoming.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        for (to, from) in buffer.iter_mut().zip(incoming.bytes.drain(..bytes)) {
            *to = from;
        }
        incoming.wake();
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(most) = self.fault(cx, bytes.len()) else { return Poll::Pending };
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.refused || outgoing.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = (outgoing.room - outgoing.bytes.len()).min(most);
        if taken == 0 && !bytes.is_empty() {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        outgoing.bytes.extend(&bytes[..taken]);
        outgoing.sent += taken;
        outgoing.peak = outgoing.peak.max(outgoing.bytes.len());
        outgoing.wake();
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fault(cx, 0).is_none() {
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.end();
        let mut incoming = self.incoming.borrow_mut();
        incoming.refused = true;
        incoming.wake();
    }
}
