//! [`Inbox`]: where the loop takes out what other threads have sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::{Command, Shared};
use crate::arena::Id;

/// The loop's ends of the two queues.
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    woken: Receiver<Id>,
    /// Whether somebody has notified since the queue was last seen empty. To look at an empty queue costs
    /// a memory fence; to look at this costs nothing.
    commands_notified: bool,
    woken_notified: bool,
    /// Whether anybody takes woken tasks out: a bare reactor has none.
    has_tasks: bool,
    /// The most commands that were queued when one was taken: between two takes the queue only grows.
    depth_max: usize,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>, commands: Receiver<Command>, woken: Receiver<Id>) -> Inbox {
        let (commands_notified, woken_notified, has_tasks) = (false, false, false);
        Inbox { shared, commands, woken, commands_notified, woken_notified, has_tasks, depth_max: 0 }
    }

    /// Somebody has put work into one of the queues.
    pub(crate) fn notified(&mut self) {
        self.commands_notified = true;
        self.woken_notified = self.has_tasks;
    }

    pub(crate) fn serve_tasks(&mut self) {
        self.has_tasks = true;
    }

    pub(crate) fn may_hold_work(&self) -> bool {
        self.commands_notified || self.woken_notified
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        let command = if self.commands_notified { self.commands.try_recv().ok() } else { None };
        self.commands_notified &= command.is_some();
        if command.is_some() {
            let depth = self.shared.room.leave();
            self.depth_max = self.depth_max.max(depth);
        }
        command
    }

    pub(crate) fn depth_max(&self) -> usize {
        self.depth_max
    }

    pub(crate) fn next_woken(&mut self) -> Option<Id> {
        let woken = if self.woken_notified { self.woken.try_recv().ok() } else { None };
        self.woken_notified &= woken.is_some();
        woken
    }

    /// Hangs up: what waits is dropped with the inbox returned, and what is sent from then on is refused.
    #[must_use]
    pub(crate) fn close(&mut self) -> Inbox {
        let (commands, woken) = (crossbeam_channel::never(), crossbeam_channel::never());
        std::mem::replace(self, Inbox::new(self.shared.clone(), commands, woken))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.room.close();
        // A command is anybody's: one whose drop panics must not keep the others from being dropped, for whom
        // somebody may wait.
        while let Ok(command) = self.commands.try_recv() {
            if catch_unwind(AssertUnwindSafe(|| drop(command))).is_err() {
                tracing::error!("the drop of a remote command panicked");
            }
        }
    }
}
