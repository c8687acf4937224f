//! The client: pooled connections, phases with deadlines, redirects and retries.
//!
//! ```text
//!  Client ── get(url) ──▶ RequestBuilder ── send ──▶ Response ──▶ Body          all under `total`
//!    │                        │                          ▲
//!    │     hops: redirects, retries where they are safe ─┘
//!    │                        │
//!   pool ◀── checkout ────── one hop: (resolve ▶ connect ▶ tls) ▶ request ▶ first byte
//!    └── a task a connection, which drives hyper, and gives an idle one back
//! ```
//!
//! [`Timeouts`] says what bounds each phase; an [`Error`](crate::Error) which bound it was and why, and
//! [where the time went](crate::Error::timeline); so does a [response](Response::timeline).
//!
//! HTTP/1.1 is spoken over `http`, and over `https` (feature `tls`) what TLS agrees on: HTTP/2 first. Redirects are
//! followed, ten at most; what is sent again without the caller's knowledge is only what the server has not
//! acted on, or may act on twice. A head of a response has at most 64 KiB and 100 headers, and five interim responses go before
//! it.
//!
//! There are no cookies, no proxies, no cache, and nothing is decompressed: what is not there cannot be attacked.
//!
//! ```
//! # use punctual_net::{TcpListener, Error};
//! # punctual_reactor::Runtime::new()?.block_on(async {
//! use std::time::Duration;
//! use punctual_net::http::{Client, Timeouts};
//!
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}/", listener.local_addr()?);
//! # let silent = punctual_reactor::spawn(async move { listener.accept().await });
//! let client = Client::new();
//! let timeouts = Timeouts::new().first_byte(Duration::from_millis(20));
//! let error = client.get(&url).timeouts(timeouts).send().await.expect_err("it says nothing");
//! println!("{error}");
//! // first byte from http://127.0.0.1:40113/ (127.0.0.1:40113) timed out after 20 ms (first_byte timeout set at
//! // src/main.rs:5:32; peer silent for 20 ms, all of ours acknowledged), fired 93 µs late
//! # drop(silent);
//! # Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attempt;
mod body;
mod builder;
mod config;
mod connection;
mod dial;
mod exchange;
mod failure;
mod hops;
mod origin;
mod pool;
mod redirect;
mod request;
mod response;
mod retry;
#[cfg(feature = "rig")]
pub(crate) mod rig;
mod task;
mod timeouts;
mod upload;

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::Method;

pub use body::Body;
pub use builder::ClientBuilder;
pub use pool::ClientMetrics;
pub use request::RequestBuilder;
pub use response::Response;
pub use timeouts::Timeouts;
pub use upload::RequestBody;

use config::Config;
use pool::Pool;

/// A client of HTTP/1.1 and HTTP/2.
///
/// It is cheap to clone: clones share connections. It belongs to the thread it was made on.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

struct Inner {
    config: Config,
    pool: Rc<Pool>,
}

impl Client {
    /// One with the defaults.
    #[must_use]
    pub fn new() -> Client {
        Client::builder().build()
    }

    /// One to be made otherwise.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    fn with(config: Config) -> Client {
        let pool = Pool::new(config.pool);
        Client(Rc::new(Inner { config, pool }))
    }

    /// What its connections have done, and do now.
    #[must_use]
    pub fn metrics(&self) -> ClientMetrics {
        self.0.pool.metrics()
    }

    /// The times that its requests have, unless they say otherwise.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.0.config.timeouts
    }

    /// `GET`s what `url` names.
    #[track_caller]
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.method(Method::GET, url)
    }

    /// `HEAD`s what `url` names.
    #[track_caller]
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.method(Method::HEAD, url)
    }

    /// `POST`s to what `url` names.
    #[track_caller]
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.method(Method::POST, url)
    }

    /// `PUT`s what `url` names.
    #[track_caller]
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.method(Method::PUT, url)
    }

    /// `DELETE`s what `url` names.
    #[track_caller]
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.method(Method::DELETE, url)
    }

    /// Any method, of what `url` names.
    #[track_caller]
    pub fn method(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self, method, origin::parse(url.as_ref()))
    }

    /// A request of the `http` crate, with an absolute URI.
    #[track_caller]
    pub fn request<B>(&self, request: http::Request<B>) -> RequestBuilder
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + 'static,
    {
        RequestBuilder::of(self, request)
    }

    fn pool(&self) -> &Rc<Pool> {
        &self.0.pool
    }

    fn config(&self) -> &Config {
        &self.0.config
    }
}

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
