//! [`Pipe`]: one direction of a copy.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::Instant;

use crate::error::{Error, Phase};
use crate::io::copy::outcome::{Flow, FlowEnd};
use crate::io::scratch::{Scratch, liar};

/// Reads in one poll; then it is the others' turn. Sockets have a budget of their own besides.
const ROUNDS_MAX: usize = 16;

/// What has been read from one stream and not yet been taken by the other.
#[derive(Debug)]
pub(super) struct Pipe {
    /// What the receiver had no room for, from `taken` on.
    kept: Vec<u8>,
    taken: usize,
    /// Bytes that the receiver has taken.
    bytes: u64,
    /// Bytes that the sender has given.
    received: u64,
    sender_ended: bool,
    /// Bytes that were read when nobody was there any more to take them.
    discarded: u64,
    unflushed: bool,
    /// Whether the receiver is to be told of the end.
    closes: bool,
    buffer: usize,
    pub(super) end: FlowEnd,
    pub(super) ended_at: Option<Instant>,
}

/// What a direction has done so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes that the sender has given.
    pub(super) given: u64,
    /// Bytes that the receiver has taken.
    pub(super) taken: u64,
    pub(super) open: bool,
}

impl Pipe {
    pub(super) fn new(buffer: usize, closes: bool) -> Pipe {
        Pipe {
            kept: Vec::new(),
            taken: 0,
            bytes: 0,
            received: 0,
            sender_ended: false,
            discarded: 0,
            unflushed: false,
            closes,
            buffer,
            end: FlowEnd::Open,
            ended_at: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end == FlowEnd::Open
    }

    /// Whether everything the sender will ever send has been read.
    pub(super) fn sender_has_ended(&self) -> bool {
        self.sender_ended
    }

    /// Bytes that the receiver has taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Everything that is a sign of life, counted.
    pub(super) fn counts(&self) -> Counts {
        Counts { given: self.received, taken: self.bytes, open: self.is_open() }
    }

    /// Moves what can be moved. Ready when the direction has ended, one way or the other.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        sender: &mut R,
        receiver: &mut W,
    ) -> Poll<Result<(), Error>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let ended = ready!(self.poll_flow(cx, sender, receiver));
        self.ended_at = Some(Instant::now());
        Poll::Ready(match ended {
            Ok(()) => {
                self.end = FlowEnd::Ended;
                Ok(())
            }
            Err((phase, error)) => {
                let read = phase == Phase::Read;
                self.end = if read { FlowEnd::ReadFailed } else { FlowEnd::WriteFailed };
                Err(Error::kernel(phase, error))
            }
        })
    }

    fn poll_flow<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        sender: &mut R,
        receiver: &mut W,
    ) -> Poll<Result<(), (Phase, io::Error)>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let write_failed = |error| (Phase::Write, error);
        for _ in 0..ROUNDS_MAX {
            ready!(self.poll_kept(cx, receiver)).map_err(write_failed)?;
            if self.sender_ended {
                return self.poll_end(cx, receiver).map_err(write_failed);
            }
            let mut scratch = Scratch::take(self.buffer);
            let Poll::Ready(read) = Pin::new(&mut *sender).poll_read(cx, scratch.room()) else {
                drop(scratch);
                ready!(self.poll_flush(cx, receiver)).map_err(write_failed)?;
                return Poll::Pending;
            };
            let read = read.map_err(|error| (Phase::Read, error))?;
            let bytes = scratch.filled(read).map_err(|error| (Phase::Read, error))?;
            self.sender_ended = bytes.is_empty();
            self.received = self.received.saturating_add(bytes.len() as u64);
            self.unflushed |= !bytes.is_empty();
            let taken = self.poll_write(cx, receiver, bytes);
            ready!(taken).map_err(write_failed)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands on what has just been read; keeps what the receiver does not take at once.
    fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut W,
        mut bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            match write_some(cx, receiver, bytes) {
                Poll::Ready(Ok(written)) => {
                    self.bytes = self.bytes.saturating_add(written as u64);
                    bytes = &bytes[written..];
                }
                not_taken => {
                    self.kept = bytes.to_vec();
                    self.taken = 0;
                    return not_taken.map_ok(drop);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_kept<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.taken < self.kept.len() {
            let written = ready!(write_some(cx, receiver, &self.kept[self.taken..]))?;
            self.taken += written;
            self.bytes = self.bytes.saturating_add(written as u64);
        }
        self.kept = Vec::new();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(receiver).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Everything has been handed on: so is the end.
    fn poll_end<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut W,
    ) -> Poll<io::Result<()>> {
        match self.closes {
            true => Pin::new(receiver).poll_close(cx),
            false => self.poll_flush(cx, receiver),
        }
    }

    /// The receiver is gone: what its sender still sends is read and discarded, so that one who sends all before it
    /// listens comes to hear what the receiver has answered. It counts as no life.
    pub(super) fn poll_discard<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        sender: &mut R,
    ) {
        for _ in 0..ROUNDS_MAX {
            if self.sender_ended {
                return;
            }
            let mut scratch = Scratch::take(self.buffer);
            match Pin::new(&mut *sender).poll_read(cx, scratch.room()) {
                Poll::Pending => return,
                // One that fails has nothing more to send.
                Poll::Ready(Ok(0) | Err(_)) => self.sender_ended = true,
                Poll::Ready(Ok(read)) => self.discarded = self.discarded.saturating_add(read as u64),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// What it did, when the copy is over.
    pub(super) fn finish(&mut self) -> Flow {
        let mut undelivered = std::mem::take(&mut self.kept);
        undelivered.drain(..self.taken);
        self.taken = 0;
        let Pipe { bytes, discarded, end, ended_at, .. } = *self;
        Flow { bytes, undelivered, discarded, end, ended_at }
    }
}

fn write_some<W: AsyncWrite + Unpin + ?Sized>(
    cx: &mut Context<'_>,
    receiver: &mut W,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    Poll::Ready(match ready!(Pin::new(receiver).poll_write(cx, bytes))? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written if written > bytes.len() => Err(liar()),
        written => Ok(written),
    })
}
