//! [`Foreign`]: four threads that cancel, move deadlines and spawn from outside, and fire at what has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;
use punctual::reactor::Direction;
use punctual::{Canceller, Handle, Instant, SendError, Token, metrics, sleep};
use punctual_tests_stress::rig::{now_ns, since};

use crate::report::Side;

const THREADS: u64 = 4;
/// Tokens of what has ended that a thread remembers, to fire at when their slots are others'.
const REMEMBERED: usize = 4_096;
/// The latest of these may be dropped only in a moment.
const FRESH: usize = 64;

/// What a thread is to do.
pub(super) enum Shot {
    /// Cancel a live connection.
    Cancel(Token, String),
    /// Cancel a scope.
    CancelScope(Canceller, String),
    /// Give what a live connection waits for so much time.
    Deadline(Token, Duration, Arc<Moved>),
    /// It has ended: nobody may notice what is fired at it.
    Ended(Token),
}

/// A deadline that was moved from outside.
#[derive(Default)]
pub(super) struct Moved {
    /// From when on what waits may end; 0 as long as it was not sent.
    pub(super) due_ns: AtomicU64,
    /// The loop has obeyed.
    pub(super) done: AtomicBool,
}

/// What the threads have done.
#[derive(Debug, Default)]
pub(super) struct Told {
    counts: std::collections::BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

impl Told {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn add_to(self, side: &mut Side) {
        let stale = self.counts.get("from outside: shots at what has ended").copied().unwrap_or(0);
        let dropped = side.counters.get("stale").copied().unwrap_or(0);
        if dropped < stale {
            let what = "was fired at what had ended, and not all of it dropped and counted";
            side.violations.push(format!("{stale} times {what}: {dropped}"));
        }
        side.counters.extend(self.counts.into_iter().map(|(what, count)| (what.to_owned(), count)));
        side.violations.extend(self.violations);
    }
}

pub(super) struct Foreign {
    threads: Vec<JoinHandle<Told>>,
}

impl Foreign {
    pub(super) fn start(handle: &Handle, seed: u64) -> (Foreign, Vec<Sender<Shot>>) {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for number in 0..THREADS {
            let (sender, shots) = channel();
            let shooter = Shooter {
                handle: handle.clone(),
                rng: Rng::with_seed(seed ^ (number << 56)),
                ended: Vec::new(),
                told: Told::default(),
            };
            senders.push(sender);
            threads.push(std::thread::spawn(move || shooter.run(&shots)));
        }
        (Foreign { threads }, senders)
    }

    /// After everybody has let go of the senders: they have ended, and what they sent was taken.
    pub(super) async fn ended(&self) {
        while !self.threads.iter().all(JoinHandle::is_finished) || metrics().inbox_depth > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn finish(self) -> Told {
        let mut all = Told::default();
        for thread in self.threads {
            let told = thread.join().expect("no panic");
            for (what, count) in told.counts {
                *all.counts.entry(what).or_default() += count;
            }
            all.violations.extend(told.violations);
        }
        all
    }
}

struct Shooter {
    handle: Handle,
    rng: Rng,
    ended: Vec<Token>,
    told: Told,
}

impl Shooter {
    fn run(mut self, shots: &Receiver<Shot>) -> Told {
        loop {
            match shots.recv_timeout(Duration::from_millis(2)) {
                Ok(shot) => {
                    self.shoot(shot);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.told,
            }
            // Who has nothing to do makes mischief.
            match self.rng.u8(..32) {
                0..12 => self.shoot_at_the_dead(),
                12 => self.spawn(),
                13 => self.call(),
                _ => {}
            }
        }
    }

    /// Until there is room in the inbox.
    fn send(&mut self, what: &'static str, mut send: impl FnMut(&Handle) -> Result<(), SendError>) {
        loop {
            match send(&self.handle) {
                Ok(()) => return self.told.count(what),
                Err(SendError::Full(())) => self.told.count("from outside: told that the inbox is full"),
                Err(other) => return self.told.violations.push(format!("{what}: {other:?}")),
            }
            std::thread::yield_now();
        }
    }

    fn shoot(&mut self, shot: Shot) {
        if self.rng.u8(..16) == 0 {
            std::thread::sleep(Duration::from_micros(self.rng.u64(..2_000)));
        }
        match shot {
            Shot::Cancel(token, cause) => {
                self.send("from outside: cancels", |handle| handle.cancel(token, cause.clone()));
            }
            Shot::CancelScope(canceller, cause) => {
                self.send("from outside: cancels of scopes", |_| canceller.cancel(cause.clone()));
            }
            Shot::Deadline(token, after, moved) => {
                moved.due_ns.store(now_ns() + after.as_nanos() as u64, Ordering::Release);
                self.send("from outside: deadlines", |handle| {
                    handle.set_deadline(token, Direction::Read, Some(handle.now() + after))
                });
                // What one thread sends comes in order.
                self.send("from outside: calls", |handle| {
                    let moved = moved.clone();
                    handle.call(move || moved.done.store(true, Ordering::Release))
                });
            }
            Shot::Ended(token) => {
                if self.ended.len() == REMEMBERED {
                    let at = self.rng.usize(..REMEMBERED - FRESH);
                    self.ended.remove(at);
                }
                self.ended.push(token);
            }
        }
    }

    /// Its slot and its descriptor may be another connection's by now.
    fn shoot_at_the_dead(&mut self) {
        if self.ended.len() <= FRESH {
            return;
        }
        let token = self.ended[self.rng.usize(..self.ended.len() - FRESH)];
        let past = Instant::from_nanos(1);
        let cancels = self.rng.bool();
        self.send("from outside: shots at what has ended", |handle| match cancels {
            true => handle.cancel(token, "meant for one that has ended"),
            false => handle.set_deadline(token, Direction::Read, Some(past)),
        });
    }

    /// A task on the loop that sleeps: its result comes back, and not early.
    fn spawn(&mut self) {
        let (number, duration) = (self.rng.u64(..), Duration::from_nanos(self.rng.u64(..3_000_000)));
        let task = self.handle.spawn(move || async move {
            let armed_ns = now_ns();
            sleep(duration).await;
            (number.rotate_left(7), since(armed_ns))
        });
        match task.map(punctual::RemoteJoinHandle::join) {
            Ok(Ok((back, passed))) if back == number.rotate_left(7) && passed >= duration => {
                self.told.count("from outside: tasks");
            }
            Ok(other) => {
                self.told.violations.push(format!("a task that sleeps {duration:?}: {other:?}"));
            }
            Err(SendError::Full(_)) => self.told.count("from outside: told that the inbox is full"),
            Err(error) => self.told.violations.push(format!("spawn from outside: {error:?}")),
        }
    }

    /// A call on the loop that panics, or does not.
    fn call(&mut self) {
        let panics = self.rng.u8(..8) == 0;
        let quiet = move || {
            if panics {
                std::panic::resume_unwind(Box::new("a call from outside"));
            }
        };
        self.send("from outside: calls", |handle| handle.call(quiet));
    }
}
