//! gRPC over HTTP/2: the clients and servers that [tonic](https://docs.rs/tonic/0.14) generates, with deadlines that travel.
//!
//! ```text
//!  scope("checkout", 500 ms)                        scope("/shop.Cart/Pay", 499.2 ms)            scope("/bank.Card/Charge", 471 ms)
//!    client.pay(..) ── grpc-timeout: 499213u ──▶ handler ── client.charge(..) ── grpc-timeout: 471034u ──▶ handler
//!        Channel                                 DeadlineLayer            Channel                         DeadlineLayer
//!    DEADLINE_EXCEEDED ◀──────────────────────── trailers ◀────────────────────────────────────────────── trailers
//! ```
//!
//! A [`Channel`] sends what its scope has left, and enforces it itself; a server under a [`DeadlineLayer`], as [`serve`] makes
//! one, opens a scope with what came. So all that waits for one call, on however many hops, ends by one deadline, and
//! all of it is cancelled when the call is.
//!
//! A deadline is `DEADLINE_EXCEEDED` and a cancel is `CANCELLED`, and neither is ever taken for the other; what the server said
//! and what ended here are told apart by [`error_of`].

mod channel;
mod server;
mod status;
mod timeout;
mod times;

pub use channel::{Channel, ChannelBuilder, ResponseBody};
pub use server::{Answering, CallBody, DeadlineLayer, Deadlines, limits, serve, serve_with, timeouts};
pub use status::error_of;
pub use timeout::{BadTimeout, decode_timeout, encode_timeout};
pub use times::{TOTAL_TIMEOUT, Timeouts};
