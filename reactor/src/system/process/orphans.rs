//! Children whose runtime has ended before them: reaped by a thread, which lives as long as there are any.

use std::io;
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;

use crate::system::pool::lock;

/// How long such a child may be a zombie. They are few, and nobody waits for them.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

struct Orphans {
    children: Vec<Child>,
    thread_runs: bool,
}

static ORPHANS: Mutex<Orphans> = Mutex::new(Orphans { children: Vec::new(), thread_runs: false });

/// Takes over a child that was not reaped yet.
pub(super) fn adopt(child: Child) {
    let mut orphans = lock(&ORPHANS);
    orphans.children.push(child);
    if orphans.thread_runs {
        return;
    }
    match std::thread::Builder::new().name("punctual-reaper".into()).spawn(reap) {
        Ok(_detached) => orphans.thread_runs = true,
        // The next to be adopted tries again; until then those that have ended are reaped here.
        Err(error) => {
            tracing::warn!(%error, "cannot start a thread to reap child processes");
            orphans.children.retain_mut(is_running);
        }
    }
}

fn reap() {
    loop {
        {
            let mut orphans = lock(&ORPHANS);
            orphans.children.retain_mut(is_running);
            if orphans.children.is_empty() {
                orphans.thread_runs = false;
                return;
            }
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

/// Whether it still is to be reaped. One that somebody else has reaped is not.
fn is_running(child: &mut Child) -> bool {
    match child.try_wait() {
        Ok(status) => status.is_none(),
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}
