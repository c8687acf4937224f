//! HTTP/2 by the frame (RFC 9113), for peers that misbehave in it.

#![allow(missing_docs)] // names and fields are the standard's

use std::io::{self, ErrorKind, Read};

use super::Connection;

/// How a connection begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

/// Of `SETTINGS` and `PING`.
pub const ACK: u8 = 1;
/// Of `DATA` and `HEADERS`.
pub const END_STREAM: u8 = 1;
/// Of `HEADERS`.
pub const END_HEADERS: u8 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// `:status 200` in HPACK's static table (RFC 7541, appendix A).
pub const STATUS_200: u8 = 0x88;
/// `:status 500`.
pub const STATUS_500: u8 = 0x8e;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// One of these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// As it is on the wire.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    fn is(&self, kind: u8, flag: u8) -> bool {
        self.kind == kind && self.flags & flag == flag
    }
}

/// The server's side of a connection, after the client's preface. It answers nothing by itself, but what is said below.
pub struct Http2<'a> {
    pub connection: &'a mut Connection,
    /// Whether [`request`](Http2::request) acknowledges pings on its way; at first it does.
    pub answers_pings: bool,
}

impl<'a> Http2<'a> {
    /// Takes the client's preface, sends nothing.
    ///
    /// # Errors
    /// If the client speaks something else.
    pub fn silent(connection: &'a mut Connection) -> io::Result<Http2<'a>> {
        if connection.exactly(PREFACE.len())? != PREFACE {
            connection.note("not HTTP/2");
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Http2 { connection, answers_pings: true })
    }

    /// Takes the client's preface, and sends these settings.
    ///
    /// # Errors
    /// If the client speaks something else, or is gone.
    pub fn begin(connection: &'a mut Connection, settings: &[(u16, u32)]) -> io::Result<Http2<'a>> {
        let mut http2 = Http2::silent(connection)?;
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        http2.send(&Frame::new(SETTINGS, 0, 0, payload))?;
        Ok(http2)
    }

    /// The next frame, whatever it is.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let head = self.connection.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.connection.exactly(length)?;
        Ok(Frame::new(head[3], head[4], stream, payload))
    }

    /// The stream of the next request, once its headers have come. On the way settings are acknowledged, and pings if wanted;
    /// all else is passed over.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.frame()?;
            self.courtesy(&frame)?;
            if frame.kind == HEADERS {
                self.connection.note(format!("request on stream {}", frame.stream));
                return Ok(frame.stream);
            }
        }
    }

    /// As [`request`](Http2::request), its body too: how long it was.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn request_whole(&mut self) -> io::Result<(u32, usize)> {
        let mut begun: Option<u32> = None;
        let mut length = 0;
        loop {
            let frame = self.frame()?;
            self.courtesy(&frame)?;
            match frame.kind {
                HEADERS => begun = Some(frame.stream),
                DATA => length += frame.payload.len(),
                _ => continue,
            }
            if let Some(stream) = begun.filter(|_| frame.is(frame.kind, END_STREAM)) {
                self.connection.note(format!("request on stream {stream}"));
                return Ok((stream, length));
            }
        }
    }

    fn courtesy(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.kind {
            SETTINGS if !frame.is(SETTINGS, ACK) => self.send(&Frame::new(SETTINGS, ACK, 0, [])),
            PING if self.answers_pings && !frame.is(PING, ACK) => {
                self.send(&Frame::new(PING, ACK, 0, frame.payload.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.connection.send(frame.encoded())
    }

    /// The head of a response, and that it ends there, if it does.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn headers(&mut self, stream: u32, status: u8, end: bool) -> io::Result<()> {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(&Frame::new(HEADERS, flags, stream, [status]))
    }

    /// A part of a body.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        self.send(&Frame::new(DATA, if end { END_STREAM } else { 0 }, stream, bytes))
    }

    /// A whole response with 200.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn respond(&mut self, stream: u32, body: &[u8]) -> io::Result<()> {
        self.headers(stream, STATUS_200, false)?;
        self.data(stream, body, true)
    }

    /// `RST_STREAM`.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.send(&Frame::new(RST_STREAM, 0, stream, code.to_be_bytes()))
    }

    /// `GOAWAY`.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn go_away(&mut self, last_stream: u32, code: u32) -> io::Result<()> {
        let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(&Frame::new(GOAWAY, 0, 0, payload))
    }

    /// `WINDOW_UPDATE`; 0 is a breach of the protocol.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn window(&mut self, stream: u32, more: u32) -> io::Result<()> {
        self.send(&Frame::new(WINDOW_UPDATE, 0, stream, more.to_be_bytes()))
    }

    /// Reads on, acknowledges nothing, until the client ends; what it says by `RST_STREAM` and `GOAWAY` is noted.
    ///
    /// # Errors
    /// If it does not end.
    pub fn ended(&mut self) -> io::Result<()> {
        loop {
            let frame = match self.frame() {
                Ok(frame) => frame,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(_) => return Ok(()),
            };
            let code = |at: usize| frame.payload.get(at..at + 4).map(|code| code.to_vec());
            match frame.kind {
                RST_STREAM => self.connection.note(format!("RST_STREAM {:?}", code(0))),
                GOAWAY => self.connection.note(format!("GOAWAY {:?}", code(4))),
                PING => self.connection.note("PING"),
                _ => {}
            }
        }
    }

    /// Reads nothing any more for a while.
    ///
    /// # Errors
    /// If the client is gone already.
    pub fn nothing(&mut self, duration: std::time::Duration) -> io::Result<()> {
        self.connection.pause(duration);
        self.connection.stream.read(&mut []).map(drop)
    }
}
