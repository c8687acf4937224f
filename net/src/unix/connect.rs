//! Connecting a Unix stream, under a deadline.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Direction, Done, Failure, Instant, Interest, Readiness, Registration};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{UnixAddress, UnixStream};
use crate::error::{Error, Phase};
use crate::pause::{Pause, operate};
use crate::phase::{Running, field, milliseconds, open};

/// How soon a full backlog is tried again, and how long it is left alone at most: nobody tells when there is room.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Connects by `budget` from now on.
#[track_caller]
pub(super) fn connect(
    address: UnixAddress,
    budget: Duration,
) -> impl Future<Output = Result<UnixStream, Error>> {
    let began = Instant::now();
    let deadline = began + budget;
    let set_at = Location::caller();
    async move {
        let named = |error: Error| error.with_target(address.to_string());
        let span = open!(
            "connect",
            Phase::Connect,
            field::ENDPOINT = display(&address),
            field::BUDGET_MS = milliseconds(budget),
        );
        let running = Running::new(Phase::Connect, began, deadline, Some(budget), span);
        let connected = running.run(async {
            let to = address
                .to_kernel()
                .map_err(|error| named(Error::invalid(Phase::Connect, error.to_string())))?;
            attempt(&to, &address, deadline).await.map_err(|failure| {
                let error = named(Error::failed(Phase::Connect, failure));
                error.with_deadline(|info| {
                    // It may have been another's, as a scope's.
                    if info.deadline == deadline {
                        (info.began, info.budget) = (Some(began), Some(budget));
                        info.set_at = Some(set_at);
                    }
                })
            })
        });
        UnixStream::adopt(connected.await?, address.clone(), Phase::Connect)
    }
}

/// Registers the socket first, as an operation on it is what deadlines, cancels and shutdowns end. Unconnected it
/// is said to be hung up, for ever: once connected it is registered anew.
async fn attempt(
    to: &SockAddr,
    address: &UnixAddress,
    deadline: Instant,
) -> Result<mio::net::UnixStream, Failure> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(Failure::Io)?;
    socket.set_nonblocking(true).map_err(Failure::Io)?;
    let io = mio::net::UnixStream::from(OwnedFd::from(socket));
    let io = Registration::owning(io, Interest::WRITABLE, Readiness::WRITABLE).map_err(Failure::Io)?;
    io.set_label(Direction::Write, "unix-connect");
    io.set_subject(address.to_subject());
    io.set_deadline(Direction::Write, Some(deadline))?;
    let pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
    operate(&io, Direction::Write, &pause, |io| try_once(io, to, &pause)).await?;
    io.into_inner().ok_or(Failure::Closed)
}

fn try_once(io: &mio::net::UnixStream, to: &SockAddr, pause: &Pause) -> io::Result<Done<()>> {
    match SockRef::from(io).connect(to) {
        Ok(()) => Ok(Done::new(())),
        // Interrupted and yet connected.
        Err(error) if error.raw_os_error() == Some(libc::EISCONN) => Ok(Done::new(())),
        Err(error) => {
            if error.kind() == ErrorKind::WouldBlock {
                pause.begin();
            }
            Err(error)
        }
    }
}
