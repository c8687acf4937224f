//! TLS by [rustls](https://docs.rs/rustls/0.23) over our streams, client and server, with a deadline on every wait.
//!
//! ```text
//!   Connector ── connect ──▶ Handshake ── 10 s ──▶ TlsStream<T> ── read ── write ── flush ── shutdown
//!       └────── connect_to ─▶ resolve ▶ connect ▶ tls, one budget      │
//!   Acceptor ─── accept ───▶ Handshake ── 10 s ──▶ TlsStream<T>        └─ deadlines of the Socket<T> beneath
//! ```
//!
//! A [`TlsStream`] has the shape of the [`Socket`](crate::Socket) it runs over, and its deadlines are that socket's: what
//! reading has to send (an answer to a key update, an alert) belongs to the read, and what ending has to wait for to the end.
//!
//! Verification is on, and nothing here turns it off but the types of [`danger`]. Versions are TLS 1.2 and 1.3. The
//! name that is verified is the name that is sent (SNI, RFC 6066 section 3). A peer that ends the connection without
//! saying so (`close_notify`, RFC 8446 section 6.1) makes the last read fail with
//! [`Kind::UnexpectedEof`](crate::Kind::UnexpectedEof): what came may have been cut short by anybody on the way.
//!
//! ```no_run
//! # async fn run() -> Result<(), punctual_net::Error> {
//! use punctual_net::{Connect, tls::Connector};
//!
//! let stream = Connector::new().connect_to(Connect::to("example.org:443")).await?;
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").await?;
//! let mut buffer = [0; 1024];
//! let read = stream.read(&mut buffer).await?;
//! # let _ = read; Ok(()) }
//! ```

mod acceptor;
mod connect;
mod connector;
pub mod danger;
mod end;
mod failure;
mod futures_io;
mod handshake;
#[cfg(feature = "hyper")]
mod hyper;
mod name;
mod pem;
mod read;
mod roots;
mod session;
mod split;
mod stream;
#[cfg(feature = "tokio-io")]
mod tokio;
mod write;

/// rustls itself: what configurations are made of.
pub use rustls;

pub use acceptor::Acceptor;
pub use connect::ConnectTls;
pub use connector::Connector;
pub use handshake::Handshake;
pub use split::{OwnedReadHalf, OwnedWriteHalf};
pub use stream::TlsStream;
