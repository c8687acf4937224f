//! [`ConnectTls`]: from a target to a stream over TLS, within one budget.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::connector::Connector;
use super::handshake::{Begin, Handshake};
use super::name;
use super::stream::TlsStream;
use crate::connect::{Cap, Connect};
use crate::error::{Error, Phase};
use crate::phase::TLS_TIMEOUT;

/// A connection over TLS to be made; from [`Connector::connect_to`]. The budget of its [`Connect`] covers the
/// handshake too, which within it may take 10 s at most, `tls-handshake cap` in an error, unless
/// [`tls_timeout`](ConnectTls::tls_timeout) says otherwise.
///
/// Cancel-safe: dropped before it is ready, it closes whatever was open.
#[must_use = "a ConnectTls does nothing unless it is awaited"]
pub struct ConnectTls {
    connector: Connector,
    connect: Connect,
    name: Option<Result<ServerName<'static>, Error>>,
    cap: Cap,
}

impl ConnectTls {
    pub(super) fn new(connector: Connector, connect: Connect) -> ConnectTls {
        ConnectTls { connector, connect, name: None, cap: Cap { most: TLS_TIMEOUT, set_at: None } }
    }

    /// Sends and verifies `name` instead of that of the target: where the addresses come from elsewhere.
    pub fn server_name(mut self, name: impl AsRef<str>) -> ConnectTls {
        self.name = Some(name::parse(name.as_ref()));
        self
    }

    /// Gives the handshake at most `cap` of the budget, instead of 10 s.
    #[track_caller]
    pub fn tls_timeout(mut self, cap: Duration) -> ConnectTls {
        self.cap = Cap { most: cap, set_at: Some(Location::caller()) };
        self
    }

    /// Starts it; the budget counts from here.
    ///
    /// # Errors
    /// As [`Connect::connect`] and [`Handshake`]; a name that cannot be verified is `InvalidInput`, before anything is sent.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Result<TlsStream, Error>> + use<> {
        let ConnectTls { connector, connect, name, cap } = self;
        let begun = connect.begin();
        let called = Location::caller();
        async move {
            let name = name.unwrap_or_else(|| name::of_target(begun.target()));
            let name = name.map_err(|error| error.with_target(begun.target().to_string()))?;
            let stream = begun.run().await?;
            let bounds = begun.bounds(Phase::Tls, cap);
            let begin = Begin::Client { connector, name };
            Handshake::new(stream, begin, None, called).bounded(bounds).run().await
        }
    }
}

impl IntoFuture for ConnectTls {
    type Output = Result<TlsStream, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    #[track_caller]
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for ConnectTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectTls")
            .field("connector", &self.connector)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}
