//! What ends the server: SIGTERM or Ctrl-C, and again.

use std::io;
use std::time::Duration;

use punctual::signal::{SignalKind, signal};
use punctual::{Core, spawn};

/// The first signal has all cores drain, the second shuts them down. One core listens for all.
pub(crate) fn by_signals(core: &Core, drain: Duration, margin: Duration) -> io::Result<()> {
    for kind in [SignalKind::TERMINATE, SignalKind::INTERRUPT] {
        let signals = signal(kind)?;
        let cores = core.cores().clone();
        drop(spawn(async move {
            for end in [drain + margin, Duration::ZERO] {
                if signals.recv().await.is_err() {
                    return; // the runtime has been shut down
                }
                cores.drain(end);
            }
        }));
    }
    Ok(())
}
