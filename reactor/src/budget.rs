//! [`Budget`]: how much of each kind of work one turn may do.

use std::io;
use std::time::Duration;

/// The most that one turn of the loop does of each kind of work; what is left over is done next turn,
/// which then does not sleep. Counts alone do not bound time, so tasks have a time as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Readiness events taken from the kernel.
    pub events: usize,
    /// Remote messages.
    pub messages: usize,
    /// Timers fired.
    pub fires: usize,
    /// Polls of tasks.
    pub tasks: usize,
    /// Time for tasks; looked at after every eighth.
    pub task_time: Duration,
    /// Operations on one connection, in one direction.
    pub operations: u16,
    /// Bytes moved on one connection, in one direction.
    pub bytes: u32,
}

/// The buffer that the kernel fills is allocated once, for all of them.
const EVENTS_MAX: usize = 1 << 20;

impl Budget {
    /// 256 events, 256 messages, 512 timers, 64 tasks or 250 µs, 16 operations or 64 KiB a connection.
    pub const DEFAULT: Budget = Budget {
        events: 256,
        messages: 256,
        fires: 512,
        tasks: 64,
        task_time: Duration::from_micros(250),
        operations: 16,
        bytes: 64 * 1024,
    };

    /// A budget of nothing is a loop that stands still.
    pub(crate) fn validate(&self) -> io::Result<()> {
        let zeros = [
            ("events", self.events == 0),
            ("messages", self.messages == 0),
            ("fires", self.fires == 0),
            ("tasks", self.tasks == 0),
            ("task_time", self.task_time.is_zero()),
            ("operations", self.operations == 0),
            ("bytes", self.bytes == 0),
        ];
        if self.events > EVENTS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("budget: `events` is {}, more than {EVENTS_MAX}", self.events),
            ));
        }
        match zeros.iter().find(|(_, zero)| *zero) {
            None => Ok(()),
            Some((name, _)) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("budget: `{name}` is zero, with which the loop could never make progress"),
            )),
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::DEFAULT
    }
}
