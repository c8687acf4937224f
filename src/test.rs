//! A test kit: a seeded kernel and network in place of the real ones, on virtual time (feature `test`; Linux with glibc, 64-bit).
//!
//! A [`Simulation`] runs your code, with the runtime, connections, names, TLS and HTTP that it has in production, on a kernel that
//! follows a seed. Peers are [scripted](Script), time passes only when everybody sleeps, and [`Faults`] make happen what a
//! test on a real kernel waits for in vain: interrupted calls, no descriptors left, connections reset before they are accepted, SYNs
//! lost, reads and writes cut short, events that tell of nothing.
//!
//! ```
//! use std::time::Duration;
//! use punctual::test::{Faults, Script, Simulation};
//! use punctual::net::TcpStream;
//!
//! // A peer that stalls after 5 of 10 bytes.
//! let stalls = Script::new().expect("hello\n").send("01234").stall();
//! for seed in 0..100 {
//!     let faults = Faults { interrupted: 0.2, short_reads: 0.5, spurious: 0.2, ..Faults::NONE };
//!     let report = Simulation::new(seed).faults(faults).run(async |network| {
//!         network.listen("10.0.0.7:4000".parse().unwrap(), stalls.clone());
//!         let stream = TcpStream::connect("10.0.0.7:4000").await?;
//!         stream.set_timeout(Some(Duration::from_secs(30)))?;
//!         stream.write_all(b"hello\n").await?;
//!         let mut answer = [0; 10];
//!         let error = stream.read_exact(&mut answer).await.expect_err("the peer stalls");
//!         assert!(error.is_timeout());
//!         assert_eq!((error.transferred(), &answer[..5]), (5, &b"01234"[..]));
//!         Ok::<_, punctual::net::Error>(())
//!     });
//!     report.value.expect("harmless faults");
//!     // It has taken half a minute, but nobody has waited.
//!     assert!(report.simulated >= Duration::from_secs(30));
//! }
//! ```
//!
//! A run that fails panics with its seed, and the same seed runs the same way again; [`Simulation::verbose`] prints it call by call.
//!
//! **Everything at every moment.** [`Network::at_point`] calls you at a given [point of the loop](LoopPoint); run once, take
//! [`Report::points`], and run again for each of them, with a cancel there. [`DropAtPoll`] drops a future at a given poll of it.
//!
//! ```
//! use punctual::test::{DropAtPoll, Simulation};
//! use punctual::{spawn, yield_now};
//!
//! for poll in 0..5 {
//!     let report = Simulation::new(1).run(async |_| {
//!         let task = async { for _ in 0..3 { yield_now().await } };
//!         DropAtPoll::new(task, poll).await.is_some()
//!     });
//!     assert_eq!(report.value, poll > 3, "it takes four polls");
//!     assert_eq!(report.metrics.live_tasks, 0);
//! }
//! # let _ = spawn::<std::future::Ready<()>>;
//! ```
//!
//! **What it is not.** Files, Unix sockets, child processes and other threads are the real kernel's, and cannot be waited for in a
//! simulation. It replaces functions of the C library in the whole program (a thread that is in no simulation is handed on to the library's
//! own), so have the feature in `dev-dependencies` only. For time alone there is [`VirtualClock`](crate::VirtualClock), which needs neither.
//!
//! **Versions.** What this module exports follows semantic versioning as the rest of the crate does. Which run a seed stands for does not: a
//! new version of this crate may make other calls, and a new [fault](Faults) may come with any. Write down the version with a seed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use punctual_reactor::simulation::{Counts, Faults, LoopPoint, Network, Report, Script, Simulation};

/// A future that is dropped at a given poll; made by [`DropAtPoll::new`].
///
/// It ends with what the future has returned, or `None` if it was dropped.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct DropAtPoll<F> {
    future: Option<Pin<Box<F>>>,
    polls_left: u64,
}

impl<F: Future> DropAtPoll<F> {
    /// Polls `future` at most `polls` times, and drops it right after the last; with 0 it is never polled.
    pub fn new(future: F, polls: u64) -> DropAtPoll<F> {
        DropAtPoll { future: Some(Box::pin(future)), polls_left: polls }
    }
}

impl<F: Future> Future for DropAtPoll<F> {
    type Output = Option<F::Output>;

    /// # Panics
    /// After it has ended.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.future.take().expect("it has not ended");
        if let Some(left) = self.polls_left.checked_sub(1) {
            self.polls_left = left;
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
        }
        if self.polls_left > 0 {
            self.future = Some(future);
            return Poll::Pending;
        }
        Poll::Ready(None)
    }
}
