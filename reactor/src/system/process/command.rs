//! [`Command`]: what is to be started, and how.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::executor::context;
use crate::failure::Failure;
use crate::opening::opening;
use crate::system::process::Child;

/// Starts a program: a `std::process::Command` whose [`Child`] is awaited.
///
/// ```
/// use std::process::Stdio;
/// use std::time::Duration;
/// use punctual_reactor::{Failure, Runtime, process::Command};
///
/// Runtime::new()?.block_on(async {
///     let mut child = Command::new("sleep").arg("60").spawn()?;
///     child.set_exit_timeout(Some(Duration::from_millis(5)));
///     assert!(matches!(child.wait().await, Err(Failure::Elapsed(_))));
///     let status = child.terminate_then_kill(Duration::from_secs(1)).await.expect("it ends");
///     assert!(!status.success(), "by SIGTERM");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Command {
    command: std::process::Command,
    stdin_chosen: bool,
    kill_on_drop: bool,
}

impl Command {
    /// Starts `program`, looked up in `PATH` if it is a mere name, with this process's environment, directory and
    /// standard streams, unless told otherwise.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command::from(std::process::Command::new(program))
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.command.env(name, value);
        self
    }

    /// Starts it in `directory`.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.command.current_dir(directory);
        self
    }

    /// What its standard input is; a pipe becomes [`Child::stdin`].
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.command.stdin(stdin);
        self.stdin_chosen = true;
        self
    }

    /// What its standard output is; a pipe becomes [`Child::stdout`].
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.command.stdout(stdout);
        self
    }

    /// What its standard error is; a pipe becomes [`Child::stderr`].
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.command.stderr(stderr);
        self
    }

    /// Whether a [`Child`] that is dropped before its end is killed; by default it runs on. It is reaped either way.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// The standard library's command, for everything else.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.command
    }

    /// Starts it. This blocks the loop for as long as the fork and the exec take.
    ///
    /// # Errors
    /// What the kernel says, as that there is no such program. If it was started and cannot be watched, as for want
    /// of descriptors, it is killed and reaped.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        // Before there is a child that nobody could wait for.
        drop(context::current("spawning a child process"));
        self.start(self.kill_on_drop)
    }

    fn start(&mut self, kill_on_drop: bool) -> io::Result<Child> {
        let started = self.command.spawn().and_then(|child| Child::watch(child, kill_on_drop));
        started.map_err(opening(format_args!("what {:?} is to be run with", self.command.get_program())))
    }

    /// Runs it to its end, and collects what it writes to its standard output and error, at most `limit` bytes of each.
    /// Both are read at once, so that a full pipe never stops it. Its standard input is empty unless it was chosen.
    ///
    /// All of it must be over after `budget`, the end of both outputs included: whoever inherited them from the child may
    /// keep them open after its end. A child that is too late or writes too much is killed and reaped, as is one whose
    /// output nobody waits for any more.
    ///
    /// # Errors
    /// [`Failure`]: [`Elapsed`](Failure::Elapsed) after `budget`; of kind `FileTooLarge` beyond `limit`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn output(&mut self, budget: Duration, limit: usize) -> Result<Output, Failure> {
        let deadline = context::current("running a child process").clock.now() + budget;
        if !self.stdin_chosen {
            self.command.stdin(Stdio::null());
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.start(true).map_err(Failure::Io)?.output_by(deadline, limit).await
    }
}

impl From<std::process::Command> for Command {
    fn from(command: std::process::Command) -> Command {
        Command { command, stdin_chosen: false, kill_on_drop: false }
    }
}
