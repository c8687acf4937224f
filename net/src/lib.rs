//! TCP whose every wait is under a deadline, on [`punctual_reactor`].
//!
//! ```text
//!   Connect ── resolve ──▶ connect ──▶ TcpStream ── read ── write ── shutdown ── close
//!      │  (stub resolver)     │            │  ▲
//!      └── one budget over both, 30 s      │  └── deadline per side: absolute, sticky, seen by what waits
//!                                          └───── timeout per side: given to each operation anew
//!   TcpListener ── accept ──▶ TcpStream
//! ```
//!
//! - A **deadline** ([`TcpStream::set_read_deadline`]) is a moment: a drip of bytes does not extend it. To
//!   extend it by hand is a store, so do it as often as you like.
//! - A **timeout** ([`TcpStream::set_read_timeout`]) is given to each operation from its start: on reads it
//!   is what is elsewhere called an idle timeout.
//!
//! Both may be set; the earlier counts. Neither ever fires early, and the [`Error`] says which one it was,
//! where it was set and how late it fired. What waits can also be ended from other threads, by its
//! token: [`Handle::set_deadline`](punctual_reactor::Handle::set_deadline) and
//! [`Handle::cancel`](punctual_reactor::Handle::cancel).
//!
//! ```
//! use std::time::Duration;
//! use punctual_net::{TcpListener, TcpStream};
//! use punctual_reactor::{Runtime, spawn};
//!
//! Runtime::new()?.block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let server = listener.local_addr()?;
//!     let silent = spawn(async move { listener.accept().await });
//!
//!     let stream = TcpStream::connect(server).await?;
//!     stream.set_read_timeout(Some(Duration::from_millis(20)))?;
//!     let error = stream.read(&mut [0; 64]).await.expect_err("the server says nothing");
//!     assert!(error.is_timeout());
//!     println!("{error}");
//!     // read from 127.0.0.1:40113 timed out after 20 ms (idle timeout set at src/main.rs:11:12;
//!     // peer silent for 20 ms, all of ours acknowledged), fired 93 µs late
//!     drop(silent);
//!     Ok::<(), punctual_net::Error>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It is not: a multi-threaded server (run one runtime a thread), nor a place for blocking work. Streams
//! belong to the thread of their runtime.

#![forbid(unsafe_code)]

mod connect;
mod datagram;
mod duplex;
mod error;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
pub mod io;
mod pause;
pub mod phase;
mod resolve;
#[cfg(feature = "rig")]
#[doc(hidden)]
pub mod rig;
mod socket;
mod stream;
mod target;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod udp;
mod unix;

pub use connect::{Connect, HappyEyeballs};
pub use datagram::{Batch, Datagram};
pub use duplex::{Duplex, duplex};
pub use error::{DeadlineInfo, Diagnosis, DnsFailure, Error, IgnoredAnswers, Kind, Phase};
pub use phase::phase;
#[cfg(feature = "dns")]
pub use resolve::{Addresses, Resolver, ResolverBuilder, ResolverMetrics};
pub use socket::{Socket, transport};
pub use stream::{Listener, OwnedReadHalf, OwnedWriteHalf, Pooled};
pub use target::Target;
pub use tcp::{Keepalive, Listen, TcpListener, TcpOptions, TcpStream};
pub use udp::UdpSocket;
pub use unix::{Credentials, UnixAddress, UnixDatagram, UnixListener, UnixStream};
