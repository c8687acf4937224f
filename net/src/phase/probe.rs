//! [`Probe`]: what explains a timeout on a connection that is owned elsewhere.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use punctual_reactor::{Registration, Source, TcpProbe};

use crate::error::Error;

/// Says why time ran out on a connection that somebody else owns, as a task that runs hyper: made by
/// [`Socket::probe`](crate::Socket::probe) before the stream is given away, and given to
/// [`Bounds::probe`](super::Bounds::probe).
///
/// It is a name and nothing more: it keeps nothing open, may be copied and sent, and says nothing of a connection that is
/// closed, nor from another thread than that of its runtime. Only TCP has something to say; of other transports it is empty.
///
/// ```no_run
/// # use std::time::Duration;
/// # use punctual_net::{Error, Phase, TcpStream, phase::Bounds};
/// # async fn answer(stream: TcpStream) -> Result<(), Error> { drop(stream); Ok(()) }
/// # async fn first_byte(stream: TcpStream) -> Result<(), Error> {
/// let probe = stream.probe();
/// let answer = answer(stream);
/// Bounds::of(Phase::FirstByte).timeout(Duration::from_secs(3)).probe(probe).run(answer).await
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    peer: Option<SocketAddr>,
    connection: Option<TcpProbe>,
}

impl Probe {
    pub(crate) fn of_tcp<S: Source + AsFd>(peer: SocketAddr, io: &Registration<S>) -> Probe {
        Probe { peer: Some(peer), connection: TcpProbe::of(io) }
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Completes an error by the name of the other end and, if it is a timeout, by its reason.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let error = match self.peer {
            Some(peer) => error.with_peer(peer),
            None => error,
        };
        error.diagnosed_from(|| self.connection.and_then(|connection| connection.read()))
    }
}
