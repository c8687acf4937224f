//! Other threads at a loop: handles, wakers, joins and drops, as many at a time as there are orders of them in a moment.
//! `.ci/sanitizers` runs it under the sanitizers for threads, addresses and leaks; without them it sees that nothing is
//! lost.

mod handles;
mod seeded;
mod wakers;

use std::time::Duration;

/// Ends the process if it is not dropped in time: a hang must not hang the suite. Sanitizers make all slower by tens.
struct Watchdog(
    #[expect(dead_code, reason = "its drop says that the test has ended")] std::sync::mpsc::Sender<()>,
);

fn watchdog(what: &'static str) -> Watchdog {
    const LIMIT: Duration = Duration::from_secs(300);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("watchdog: {what} still runs after {LIMIT:?}");
            std::process::abort();
        }
    });
    Watchdog(done)
}
