//! [`Piece`]: as much of a response as is handed over at a time.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// The most that hyper is handed at once, in bytes: as much as a frame of HTTP/2 takes by default (RFC 9113, section 4.2).
/// There hyper hands over what it is given whole, and has then done with it: of a body in one piece nobody would know
/// whether the client takes it, or that it is still on its way. Of HTTP/1 it copies what it is given behind the headers.
pub(super) const PIECE: usize = 16 * 1024;

pub(super) enum Piece<D> {
    Whole(D),
    Part(Bytes),
}

impl<D: Buf> Piece<D> {
    /// The first piece of `data`, and what is left of it.
    pub(super) fn first_of(mut data: D) -> (Piece<D>, Option<D>) {
        if data.remaining() <= PIECE {
            return (Piece::Whole(data), None);
        }
        (Piece::Part(data.copy_to_bytes(PIECE)), Some(data))
    }
}

impl<D: Buf> Buf for Piece<D> {
    #[inline]
    fn remaining(&self) -> usize {
        match self {
            Piece::Whole(data) => data.remaining(),
            Piece::Part(data) => data.remaining(),
        }
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self {
            Piece::Whole(data) => data.chunk(),
            Piece::Part(data) => data.chunk(),
        }
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        match self {
            Piece::Whole(data) => data.advance(count),
            Piece::Part(data) => data.advance(count),
        }
    }

    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Piece::Whole(data) => data.chunks_vectored(slices),
            Piece::Part(data) => data.chunks_vectored(slices),
        }
    }

    #[inline]
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self {
            Piece::Whole(data) => data.copy_to_bytes(count),
            Piece::Part(data) => data.copy_to_bytes(count),
        }
    }
}
