//! What [hyper](https://docs.rs/hyper/1) asks of a runtime: streams, timers and tasks, of the loop it is polled on.
//!
//! ```text
//!   hyper::server::conn::…   ── Read, Write ──▶ Socket<T>, or Io<S> for any futures-io stream
//!   hyper::client::conn::…   ── Timer ────────▶ Timer: deadlines in the loop's wheel, on the loop's clock
//!                            ── Executor ─────▶ Executor: tasks of a scope, or detached ones
//! ```
//!
//! Every connection of hyper's runs on it, HTTP/1 and HTTP/2, server and client. Deadlines and timeouts of a
//! socket hold under hyper as they do elsewhere; what they end comes back inside of `hyper::Error`, and comes
//! out whole: [`Error::in_chain`](crate::Error::in_chain).
//!
//! ```
//! use std::convert::Infallible;
//! use hyper::server::conn::http1;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response, body::Incoming};
//! use punctual_net::TcpListener;
//! use punctual_net::hyper::Timer;
//!
//! async fn serve_one(listener: &TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//!     let (stream, _) = listener.accept().await?;
//!     let hello = service_fn(async |_: Request<Incoming>| {
//!         Ok::<_, Infallible>(Response::new("hello\n".to_owned()))
//!     });
//!     http1::Builder::new().timer(Timer::new()).serve_connection(stream, hello).await?;
//!     Ok(())
//! }
//! # let _ = serve_one;
//! ```

#[cfg(feature = "http")]
mod builders;
mod executor;
mod io;
mod time;

#[cfg(feature = "http")]
pub use builders::{http1_client, http1_server, http2_client, http2_server};
pub use executor::Executor;
pub use io::Io;
pub use time::Timer;
