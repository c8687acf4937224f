//! The connection of a channel: made by a task of its own, for all calls that wait for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::hyper::client::conn::http2;
use ::hyper::rt::{Read, Write};
use punctual_reactor::spawn_named;

use super::request::RequestBody;
use crate::connect::Connect;
use crate::error::{Error, Kind, Phase};
use crate::hyper::{Executor, Timer};
use crate::phase::Probe;
use crate::tcp::TcpOptions;

/// A connection that stands.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<RequestBody>,
    pub(super) probe: Probe,
}

/// Where to, how, and what has come of it.
pub(super) struct Connector {
    host: String,
    port: u16,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_alive: Option<(Duration, Duration)>,
    options: TcpOptions,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::Connector>,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Connecting(Arc<Attempt>),
    Ready(Connection),
}

/// One making of a connection. It is shared by the task that makes it, and those who wait.
#[derive(Default)]
struct Attempt {
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    outcome: Option<Result<Connection, Arc<Error>>>,
    waiting: Vec<Waker>,
    /// The channel has gone.
    given_up: bool,
    task: Option<Waker>,
}

/// What a lock guards is whole after a panic too: it is never held while others' code runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connector {
    pub(super) fn new(host: &str, port: u16, options: TcpOptions) -> Connector {
        let (host, state) = (host.to_owned(), Mutex::default());
        Connector {
            host,
            port,
            timeout: None,
            keep_alive: None,
            options,
            #[cfg(feature = "tls")]
            tls: None,
            state,
        }
    }

    /// The connection, as soon as it stands. It is begun now, if it is not under way.
    ///
    /// Cancel-safe: others may wait for the same one.
    pub(super) async fn connection(&self) -> Result<Connection, Arc<Error>> {
        let attempt = {
            let mut state = lock(&self.state);
            match &*state {
                State::Ready(connection) if !connection.sender.is_closed() => {
                    return Ok(connection.clone());
                }
                State::Connecting(attempt) if !attempt.has_failed() => attempt.clone(),
                _ => {
                    let attempt = Arc::new(Attempt::default());
                    let before = std::mem::replace(&mut *state, State::Connecting(attempt.clone()));
                    drop(state);
                    drop(before);
                    self.begin(attempt.clone());
                    attempt
                }
            }
        };
        let outcome = poll_fn(|cx| attempt.poll(cx)).await;
        if let Ok(connection) = &outcome {
            self.stands(&attempt, connection);
        }
        outcome
    }

    /// As [`connection`](Connector::connection), for whoever waits for nothing else.
    pub(super) async fn connect_now(&self) -> Result<(), Error> {
        let connected = punctual_reactor::in_scope_as("grpc-connect", self.connection()).await;
        match connected {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Arc::try_unwrap(error).unwrap_or_else(|shared| {
                let said = std::io::Error::other(shared.to_string());
                Error::new(shared.kind(), shared.phase()).because(said)
            })),
            Err(failure) => Err(Error::failed(Phase::Connect, failure).tell()),
        }
    }

    /// The first of those who wait for it makes it the channel's.
    fn stands(&self, attempt: &Arc<Attempt>, connection: &Connection) {
        let mut state = lock(&self.state);
        if matches!(&*state, State::Connecting(current) if Arc::ptr_eq(current, attempt)) {
            let before = std::mem::replace(&mut *state, State::Ready(connection.clone()));
            drop(state);
            drop(before);
        }
    }

    fn begin(&self, attempt: Arc<Attempt>) {
        let mut connect = Connect::to((self.host.clone(), self.port)).options(self.options.clone());
        if let Some(timeout) = self.timeout {
            connect = connect.timeout(timeout);
        }
        let keep_alive = self.keep_alive;
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        let establish = async move {
            #[cfg(feature = "tls")]
            if let Some(tls) = tls {
                let stream = tls.connect_to(connect).connect().await?;
                return speak(stream.probe(), stream, keep_alive).await;
            }
            let stream = connect.connect().await?;
            speak(stream.probe(), stream, keep_alive).await
        };
        drop(spawn_named("grpc connect", async move {
            let ends = Ends(attempt);
            let made = ends.0.unless_given_up(establish).await;
            ends.0.finish(made.map_err(Arc::new));
        }));
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Connecting(attempt) = state {
            let task = {
                let mut progress = lock(&attempt.progress);
                progress.given_up = true;
                progress.task.take()
            };
            task.into_iter().for_each(Waker::wake);
        }
    }
}

/// Has hyper speak HTTP/2 on `stream`: its opening is written at once, into a socket that is empty.
async fn speak<S: Read + Write + Unpin + 'static>(
    probe: Probe,
    stream: S,
    keep_alive: Option<(Duration, Duration)>,
) -> Result<Connection, Error> {
    let mut builder = http2::Builder::new(Executor::detached());
    builder.timer(Timer::new());
    if let Some((interval, timeout)) = keep_alive {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
    }
    let (sender, connection) = builder.handshake(stream).await.map_err(broken)?;
    drop(spawn_named("grpc connection", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of a gRPC channel has failed");
        }
    }));
    Ok(Connection { sender, probe })
}

/// HTTP/2 was not agreed upon.
fn broken(error: hyper::Error) -> Error {
    Error::new(Kind::Protocol, Phase::Connect).because(std::io::Error::other(error))
}

impl Attempt {
    fn has_failed(&self) -> bool {
        matches!(lock(&self.progress).outcome, Some(Err(_)))
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Connection, Arc<Error>>> {
        // First: it may be anybody's code.
        let waker = cx.waker().clone();
        let mut progress = lock(&self.progress);
        if let Some(outcome) = &progress.outcome {
            let outcome = outcome.clone();
            drop(progress);
            return Poll::Ready(outcome);
        }
        if !progress.waiting.iter().any(|waiting| waiting.will_wake(&waker)) {
            progress.waiting.push(waker);
        }
        drop(progress);
        Poll::Pending
    }

    /// Awaits `future` until the channel has gone.
    async fn unless_given_up<T>(
        &self,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let before = {
                let mut progress = lock(&self.progress);
                if progress.given_up {
                    return Poll::Ready(Err(Error::new(Kind::Closed, Phase::Connect)));
                }
                progress.task.replace(waker)
            };
            drop(before);
            future.as_mut().poll(cx)
        })
        .await
    }

    fn finish(&self, outcome: Result<Connection, Arc<Error>>) {
        let (waiting, task) = {
            let mut progress = lock(&self.progress);
            if progress.outcome.is_some() {
                return;
            }
            progress.outcome = Some(outcome);
            (std::mem::take(&mut progress.waiting), progress.task.take())
        };
        drop(task);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Tells those who wait, if the task is dropped with its runtime.
struct Ends(Arc<Attempt>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.finish(Err(Arc::new(Error::new(Kind::Shutdown, Phase::Connect))));
    }
}
