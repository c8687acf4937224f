//! [`Stalls`]: whether this machine runs what is runnable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::judge::now;

/// A thread that does nothing but sleep for a moment, again and again, and keeps the longest that one took.
pub(crate) struct Stalls {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

const MOMENT: Duration = Duration::from_millis(5);

impl Stalls {
    pub(crate) fn watch() -> Stalls {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let thread = thread::spawn(move || {
            let (mut longest, mut last) = (Duration::ZERO, now());
            while !until.load(Ordering::Relaxed) {
                thread::sleep(MOMENT);
                let woke = now();
                longest = longest.max(woke - last);
                last = woke;
            }
            longest
        });
        Stalls { over, thread }
    }

    pub(crate) fn longest(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}
