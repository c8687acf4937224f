//! [`Monitor`]: a thread that ends the process when an operation does not end.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use punctual::{Handle, metrics, waits};
use punctual_tests_stress::rig::now_ns;

/// Beyond what an operation was given, until it counts as hanging: a busy machine may be slow.
const GRACE: Duration = Duration::from_secs(60);

/// What each client does, and when that must have ended.
pub(crate) struct Monitor {
    doing: Vec<Mutex<Doing>>,
}

#[derive(Clone, Copy, Debug)]
struct Doing {
    what: &'static str,
    due_ns: u64,
}

impl Monitor {
    /// It ends soon after everybody has let go of the monitor.
    pub(super) fn start(slots: u32, handle: Handle) -> (Arc<Monitor>, JoinHandle<()>) {
        let nothing = Doing { what: "nothing", due_ns: u64::MAX };
        let monitor = Arc::new(Monitor { doing: (0..slots).map(|_| Mutex::new(nothing)).collect() });
        let watched = Arc::downgrade(&monitor);
        let thread = std::thread::spawn(move || watch(&watched, &handle));
        (monitor, thread)
    }

    fn of(&self, slot: u32) -> MutexGuard<'_, Doing> {
        self.doing[slot as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client of this number does something that ends within `limit`.
    pub(super) fn expects(&self, slot: u32, what: &'static str, limit: Duration) {
        let due_ns = now_ns() + (limit + GRACE).as_nanos() as u64;
        *self.of(slot) = Doing { what, due_ns };
    }

    /// It does nothing now.
    pub(super) fn rests(&self, slot: u32) {
        self.of(slot).due_ns = u64::MAX;
    }
}

fn watch(monitor: &Weak<Monitor>, handle: &Handle) {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let Some(monitor) = monitor.upgrade() else { return };
        let now = now_ns();
        let hang: Vec<_> = (0..monitor.doing.len() as u32)
            .map(|slot| (slot, *monitor.of(slot)))
            .filter(|(_, doing)| doing.due_ns < now)
            .collect();
        if !hang.is_empty() {
            give_up(&hang, handle);
        }
    }
}

fn give_up(hang: &[(u32, Doing)], handle: &Handle) -> ! {
    eprintln!("VIOLATION: {} operations hang, {GRACE:?} beyond their time; the first:", hang.len());
    hang.iter().take(10).for_each(|(slot, doing)| eprintln!("  client {slot}: {}", doing.what));
    let (tell, told) = channel();
    let _ = handle.call(move || {
        let (now, waits) = (metrics(), waits());
        let oldest = waits.oldest(5).into_iter().map(|wait| format!("{wait:?}")).collect::<Vec<_>>();
        let times = [now.uptime_ns, now.parked_ns, now.turns].map(|ns| ns / 1_000_000);
        drop(tell.send((times, oldest)));
    });
    match told.recv_timeout(Duration::from_secs(10)) {
        Ok((times, oldest)) => {
            eprintln!("the loop turns; ms up, ms of it parked, millions of turns: {times:?}; waits:");
            oldest.iter().for_each(|wait| eprintln!("  {wait}"));
        }
        Err(_) => eprintln!("the loop does not turn"),
    }
    std::process::abort();
}
