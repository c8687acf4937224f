//! [`Child`]: a process that was started.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Output};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::context;
use crate::failure::Failure;
use crate::instant::Instant;
use crate::sys::process::Process;
use crate::system::pipe::{PipeReader, PipeWriter};
use crate::system::process::watched::{Watched, reap_in_background};
use crate::system::signal::SignalKind;

/// A child process; made by [`Command::spawn`](crate::process::Command::spawn).
///
/// Dropped before its end it runs on, or is killed if the command said so
/// ([`kill_on_drop`](crate::process::Command::kill_on_drop)). Either way it is reaped in the background when it ends, by a
/// task of the runtime (one [live task and source](crate::Metrics) until then), or by a thread if the runtime ends first.
///
/// Where the kernel has pidfds (Linux 5.3) it is signalled through one, which can name no other process. Elsewhere its
/// number is used, which is its own until it is reaped, and it is reaped here alone.
pub struct Child {
    /// Its standard input, if that is a pipe. [`wait`](Child::wait) closes it.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if that is a pipe. Read it, or a child that writes much never ends.
    pub stdout: Option<PipeReader>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<PipeReader>,
    /// Taken by the drop alone.
    watched: Option<Watched>,
    status: Option<ExitStatus>,
    kill_on_drop: bool,
    /// The one that started it.
    process: Process,
}

impl Child {
    pub(super) fn watch(mut child: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let watched = Some(Watched::new(child)?);
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            watched,
            status: None,
            kill_on_drop: true,
            process: Process::this(),
        };
        child.stdin = stdin.map(|pipe| PipeWriter::new(OwnedFd::from(pipe))).transpose()?;
        child.stdout = stdout.map(|pipe| PipeReader::new(OwnedFd::from(pipe))).transpose()?;
        child.stderr = stderr.map(|pipe| PipeReader::new(OwnedFd::from(pipe))).transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// Its process id, until it is reaped: later that number may be another's.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.watched().id()
    }

    /// Sets or clears the time by which [`wait`](Child::wait) must have seen its end. The child itself is left alone.
    #[track_caller]
    pub fn set_exit_deadline(&self, deadline: Option<Instant>) {
        self.watched().set_deadline(deadline);
    }

    /// Gives each [`wait`](Child::wait) that begins from now on at most `timeout`.
    #[track_caller]
    pub fn set_exit_timeout(&self, timeout: Option<Duration>) {
        self.watched().set_timeout(timeout);
    }

    /// Waits for its end, and reaps it. Closes its standard input first, so that it does not wait for more.
    ///
    /// Cancel-safe; the status of one that was reaped is given again.
    ///
    /// # Errors
    /// [`Failure`]. `ECHILD` means that somebody else has reaped it: code that waits for any child, or `SIGCHLD`
    /// being ignored.
    pub async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        self.stdin = None;
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.watched_mut().wait().await?;
        self.status = Some(status);
        Ok(status)
    }

    /// Its status if it has ended; it is then reaped.
    ///
    /// # Errors
    /// As [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.watched_mut().try_wait()?;
        }
        Ok(self.status)
    }

    /// Sends it a signal. One that has ended is left alone, which is no error.
    ///
    /// # Errors
    /// What the kernel says, as that it may not be signalled, having become another user's.
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        self.watched().signal(kind)
    }

    /// Kills it (`SIGKILL`). Wait for it to see its end.
    ///
    /// # Errors
    /// As [`signal`](Child::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(SignalKind::KILL)
    }

    /// Asks it to end (`SIGTERM`), gives it `grace` to do so, then kills it, and reaps it.
    ///
    /// The exit deadline and timeout are cleared: `grace` takes their place. After the kill only a process that the kernel
    /// does not let go, as one that waits for a disk, takes longer; bound that with a [`timeout`](crate::timeout) around
    /// this. If this is dropped or fails after it began, the child is killed at once when it is dropped, and reaped.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn terminate_then_kill(&mut self, grace: Duration) -> Result<ExitStatus, Failure> {
        if self.try_wait().map_err(Failure::Io)?.is_none() {
            self.kill_on_drop = true;
            self.signal(SignalKind::TERMINATE).map_err(Failure::Io)?;
            let now = context::current("terminating a child process").clock.now();
            self.set_exit_timeout(None);
            self.set_exit_deadline(Some(now + grace));
            let ended = self.wait().await;
            self.set_exit_deadline(None);
            match ended {
                Err(Failure::Elapsed(_)) => self.kill().map_err(Failure::Io)?,
                other => return other,
            }
        }
        self.wait().await
    }

    /// Runs it to its end by `deadline`, and collects what it writes.
    pub(super) async fn output_by(mut self, deadline: Instant, limit: usize) -> Result<Output, Failure> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        self.set_exit_deadline(Some(deadline));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut status = None;
        {
            let read_out = pin!(collect(stdout, &mut out, deadline, limit));
            let read_err = pin!(collect(stderr, &mut err, deadline, limit));
            let exit = pin!(async {
                status = Some(self.wait().await?);
                Ok(())
            });
            all_of([read_out, read_err, exit]).await?;
        }
        let Some(status) = status else { return Err(Failure::Closed) };
        Ok(Output { status, stdout: out, stderr: err })
    }

    fn watched(&self) -> &Watched {
        self.watched.as_ref().unwrap_or_else(|| unreachable!("it is taken by the drop alone"))
    }

    fn watched_mut(&mut self) -> &mut Watched {
        self.watched.as_mut().unwrap_or_else(|| unreachable!("it is taken by the drop alone"))
    }
}

/// Reads `from` to its end.
async fn collect(
    from: Option<PipeReader>,
    to: &mut Vec<u8>,
    deadline: Instant,
    limit: usize,
) -> Result<(), Failure> {
    let Some(from) = from else { return Ok(()) };
    from.set_deadline(Some(deadline))?;
    // One more than it may be tells.
    let read = from.read_to_end(to, limit.saturating_add(1)).await?;
    if read <= limit {
        return Ok(());
    }
    let words = format!("the child wrote more than the {limit} bytes that were allowed, and was killed");
    Err(Failure::Io(io::Error::new(io::ErrorKind::FileTooLarge, words)))
}

/// Awaits all of them at once, or the first that fails.
async fn all_of<const N: usize>(
    futures: [Pin<&mut dyn Future<Output = Result<(), Failure>>>; N],
) -> Result<(), Failure> {
    let mut left = futures.map(Some);
    let mut poll_all = move |cx: &mut Context<'_>| {
        for slot in &mut left {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => *slot = None,
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => {}
            }
        }
        if left.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    };
    poll_fn(&mut poll_all).await
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(watched) = self.watched.take() else { return };
        if !self.process.is_this() {
            // It is the child of the process that this one was forked off from.
            return;
        }
        if self.kill_on_drop {
            // It fails only for a child that became another user's.
            let _ = watched.signal(SignalKind::KILL);
        }
        reap_in_background(watched);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
