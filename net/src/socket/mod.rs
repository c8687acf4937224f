//! [`Socket`]: what sockets of every kind have in common.

mod deadlines;
mod options;
pub mod transport;

use std::cell::Cell;
use std::fmt;

use punctual_reactor::{Direction, Failure, Readiness, Registration};

use crate::error::{Error, Phase};
use crate::phase::Probe;
use transport::Transport;

/// A socket of the runtime, with a deadline and a timeout on each side. Its names are
/// [`TcpStream`](crate::TcpStream) and so on, one for each [`Transport`].
///
/// Every method takes `&self`: one task may read while another writes; of several that wait on the
/// same side each gets its turn. It belongs to the runtime of the thread it was made on, and is `!Send`.
///
/// What holds for every operation:
/// - It ends once: with its result or one [`Error`] that says which [kind](Error::kind) of thing ended it.
/// - One that begins after its deadline ends at once and leaves the socket alone, even if it could have
///   succeeded. One that waits when its deadline comes tries once more first. So after a timeout nothing
///   has been read or sent but what [`Error::transferred`] says.
/// - A deadline is sticky: later operations fail as well, until it is cleared or moved.
/// - Unless its documentation says otherwise, it is cancel-safe: dropped before it is ready, it has done
///   nothing.
///
/// Through `AsyncRead` and `AsyncWrite`, which streams have, a deadline holds in the same way, but a
/// **timeout** cannot be told when an operation is given up, as by `select`: that of a read which was given
/// up goes on until the next read completes or runs into it. Where that matters, use
/// [`read`](Socket::read) and its kin, whose futures take their timeout along when they are dropped, or set
/// a deadline.
///
/// A peer that has gone is an error (`Kernel(EPIPE)` or `Kernel(ECONNRESET)`), never a `SIGPIPE`:
/// everything is sent with `MSG_NOSIGNAL` (send(2)).
pub struct Socket<T: Transport> {
    pub(crate) io: Registration<T::Io>,
    pub(crate) names: T::Names,
    /// The errno that broke the connection, or 0. The kernel tells it once, to whoever asks first, and the
    /// other side would read a clean end.
    pub(crate) broken: Cell<i32>,
}

impl<T: Transport> Socket<T> {
    pub(crate) fn assemble(io: Registration<T::Io>, names: T::Names) -> Socket<T> {
        io.set_phase(Direction::Read, Some(Phase::Read.as_str()));
        io.set_phase(Direction::Write, Some(Phase::Write.as_str()));
        Socket { io, names, broken: Cell::new(0) }
    }

    /// Closes it. What waits on it ends as `Closed` in the next turn, and so does everything later. If the
    /// peer of a stream has sent what was not read, the kernel resets the connection, and with it what was
    /// written last: see [`close_in_order`](Socket::close_in_order).
    pub fn close(&self) {
        self.io.close();
    }

    /// What can say, once this is owned by somebody else, why time ran out on it: for
    /// [`Bounds::probe`](crate::phase::Bounds::probe).
    #[must_use]
    pub fn probe(&self) -> Probe {
        T::probe(self)
    }

    pub(crate) fn io(&self) -> &Registration<T::Io> {
        &self.io
    }

    #[cold]
    pub(crate) fn failed(&self, phase: Phase, failure: Failure) -> Error {
        T::explain(self, Error::failed(phase, failure))
    }

    /// Of a single read, whose timeout is an idle timeout.
    #[cold]
    pub(crate) fn read_failed(&self, failure: Failure) -> Error {
        self.failed(Phase::Read, failure).with_deadline(|info| info.idle = true)
    }

    /// An operation on nothing waits for nothing, but a deadline that has passed still ends it.
    #[inline]
    pub(crate) fn trivial_if(&self, nothing: bool, direction: Direction) {
        if nothing {
            // A closed socket says so in the operation itself.
            let _ = self.io.assume(match direction {
                Direction::Read => Readiness::READABLE,
                Direction::Write => Readiness::WRITABLE,
            });
        }
    }
}

impl<T: Transport> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(T::TYPE)
            .field("names", &self.names)
            .field("token", &self.io.token())
            .field("read_deadline", &self.io.deadline(Direction::Read))
            .field("write_deadline", &self.io.deadline(Direction::Write))
            .field("open", &self.io.get_ref().is_some())
            .finish()
    }
}
