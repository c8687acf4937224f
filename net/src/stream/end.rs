//! Ending a stream: one side, both, or in good order.

use std::future::Future;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Direction, Done, Failure, Instant};

use super::split::{self, OwnedReadHalf, OwnedWriteHalf};
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// The largest discarded at a time while closing in good order.
const DISCARD: usize = 16 * 1024;

/// Ending a stream.
impl<T: StreamTransport> Socket<T> {
    /// Ends one side or both (shutdown(2)); operations that wait there see it. It may be repeated, and
    /// a connection that the peer has ended already is no error.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.end(how).map_err(|failure| self.failed(Phase::Shutdown, failure))
    }

    fn end(&self, how: Shutdown) -> Result<(), Failure> {
        match T::shutdown(&*self.io.get_ref().ok_or(Failure::Closed)?, how) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Err(Failure::Io(error)),
            _ => Ok(()),
        }
    }

    /// Ends the writing side, reads and discards what the peer still sends until it has ended too, for at
    /// most `within`, then closes. So what was written last arrives, also at a peer that is still sending
    /// (RFC 9112, section 9.6). Returns how many bytes were discarded. The stream is closed in any case.
    ///
    /// The peer is given `within` from this call on, whatever deadline and timeout the read side had.
    ///
    /// # Errors
    /// `Timeout` if the peer has not ended by then, or what the kernel says; the phase is `Shutdown`.
    #[track_caller]
    pub fn close_in_order(&self, within: Duration) -> impl Future<Output = Result<u64, Error>> + '_ {
        let began = Instant::now();
        let deadline = began + within;
        let set_at = Location::caller();
        async move {
            let discarded = self.discard(deadline).await.map_err(|failure| {
                let error = self.failed(Phase::Shutdown, failure).with_deadline(|info| {
                    // Another thread may have moved it meanwhile.
                    if info.deadline == deadline {
                        (info.began, info.budget) = (Some(began), Some(within));
                        info.set_at = Some(set_at);
                        info.before_it_began = false;
                    }
                });
                error.tell()
            });
            self.close();
            discarded
        }
    }

    async fn discard(&self, deadline: Instant) -> Result<u64, Failure> {
        self.io.set_timeout(Direction::Read, None)?;
        self.io.set_deadline(Direction::Read, Some(deadline))?;
        self.end(Shutdown::Write)?;
        self.io.set_phase(Direction::Read, Some(Phase::Shutdown.as_str()));
        let mut discarded = 0;
        let done = self.io.operate(Direction::Read, |io| {
            // Here it is on the stack, and not in every future that waits.
            let mut scratch = [0; DISCARD];
            let bytes = self.received(T::read(io, &mut scratch))?;
            discarded += bytes as u64;
            let step = Done::step(bytes, DISCARD);
            Ok(if bytes == 0 { step.ends_with(discarded) } else { step })
        });
        done.await
    }

    /// Two owned halves, for two tasks. Dropping the writing half ends the writing side; deadlines and
    /// timeouts of the other stay as they are. [`OwnedReadHalf::reunite`] undoes it.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf<T>, OwnedWriteHalf<T>) {
        split::split(Rc::new(self))
    }
}
