//! What disturbs a connection that lives on: deadlines from here and from outside, tasks that are aborted or panic.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use punctual::net::Error;
use punctual::{Instant, sleep, spawn, timeout, yield_now};
use punctual_tests_stress::proxy::Fault;
use punctual_tests_stress::rig::now_ns;

use super::GENEROUS;
use super::drawn::tight_time;
use super::foreign::{Moved, Shot};
use super::operations::{Client, Outcome, SUSPICIOUS, name_of, outcome};
use crate::ledger::Running;
use crate::wire::{Bad, Wish};

impl Client {
    /// A read that nobody answers ends at its deadline and not before.
    pub(super) async fn silence(&mut self) -> Result<(), Bad> {
        self.push(Wish::Silence, 64);
        if !self.settle().await? {
            return Ok(());
        }
        let bound = tight_time(&mut self.rng);
        let running = self.begin("read in silence", bound);
        let armed_ns = now_ns();
        if self.rng.bool() {
            self.stream.set_read_deadline(Some(Instant::now() + bound)).expect("open");
        } else {
            self.stream.set_read_timeout(Some(bound)).expect("open");
        }
        let result = self.read_nothing().await;
        self.stream.set_read_deadline(None).expect("open");
        self.stream.set_read_timeout(None).expect("open");
        self.must_time_out(running, armed_ns, bound, result)
    }

    fn must_time_out(
        &self,
        running: Running,
        armed_ns: u64,
        bound: Duration,
        result: Result<(), Error>,
    ) -> Result<(), Bad> {
        let bad = match result {
            Ok(()) => Bad::End,
            Err(error) if error.is_timeout() => {
                running.end("timeout");
                self.stage.ledger.timed_out("a read in silence", armed_ns, bound, &error);
                return Ok(());
            }
            Err(error) => Bad::Failed(error),
        };
        running.end(name_of(&bad));
        Err(bad)
    }

    /// The deadline of a waiting read is set by another thread.
    pub(super) async fn deadline_from_outside(&mut self) -> Result<(), Bad> {
        self.push(Wish::Silence, 64);
        if !self.settle().await? {
            return Ok(());
        }
        let running = self.begin("deadline from outside", GENEROUS);
        let (after, moved) = (tight_time(&mut self.rng), Arc::new(Moved::default()));
        let shot = Shot::Deadline(self.stream.token(), after, moved.clone());
        self.stage.shoot(self.identity.slot, shot);
        let result = self.read_nothing().await;
        let (now, due) = (now_ns(), moved.due_ns.load(Ordering::Acquire));
        if result.as_ref().is_err_and(Error::is_timeout) && (due == 0 || now < due) {
            self.stage
                .ledger
                .violation(format!("early: from outside, {} ns of {after:?}", due.saturating_sub(now)));
        }
        // A connection that fails first may be hit all the same, when nobody looks.
        let result = self.must_time_out(running, now, Duration::ZERO, result);
        if result.is_ok() {
            self.stream.set_read_deadline(None).expect("open");
        }
        result
    }

    /// The deadline of a waiting read is moved out by another thread; if that comes in time, the read succeeds.
    pub(super) async fn extended_from_outside(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        const FOR_EVER: Duration = Duration::from_secs(36_000);
        let bound = Duration::from_micros(self.rng.u64(1_000..40_000));
        let later = self.rng.u32(..60_000);
        self.push(Wish::Later(later), 100);
        let running = self.begin("extended from outside", GENEROUS);
        let armed_ns = now_ns();
        self.stream.set_read_deadline(Some(Instant::now() + bound)).expect("open");
        let moved = Arc::new(Moved::default());
        let shot = Shot::Deadline(self.stream.token(), FOR_EVER, moved.clone());
        self.stage.shoot(self.identity.slot, shot);
        let stage = self.stage.clone();
        let stalls = self.faults.any(|fault| matches!(fault, Fault::Stall(_)));
        let result = if stalls {
            timeout(SUSPICIOUS, self.converse(None)).await.unwrap_or(Ok(()))
        } else {
            self.converse(None).await
        };
        let result = outcome(result, |error| {
            stage.ledger.timed_out("a read that was to be extended", armed_ns, bound, error);
        });
        while !moved.done.load(Ordering::Acquire) {
            sleep(Duration::from_millis(1)).await;
        }
        if result.is_ok() {
            self.stream.set_read_deadline(None).expect("open");
        }
        running.end(match &result {
            Ok(Outcome::Done) => "ok",
            Ok(Outcome::TimedOut) => "timeout",
            Err(bad) => name_of(bad),
        });
        result.map(drop)
    }

    /// A task that reads is aborted; it takes nothing along.
    pub(super) async fn aborted_child(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        let running = self.begin("read of a task, aborted", GENEROUS);
        let stream = self.stream.clone();
        let child = spawn(async move { stream.read(&mut [0; 8]).await });
        yield_now().await;
        child.abort();
        match child.await {
            Err(error) if error.is_aborted() => running.end("aborted"),
            // The network may have been faster.
            Ok(Ok(0)) => running.end("end"),
            Ok(Err(_)) => running.end("reset"),
            other => {
                self.stage.ledger.violation(format!("a child that was aborted: {other:?}"));
                running.end("other");
            }
        }
        Ok(())
    }

    /// A task panics, or its drop does. Nobody else notices.
    pub(super) async fn bomb(&mut self) {
        let running = self.begin("bomb", GENEROUS);
        let child = if self.rng.bool() {
            spawn(async { std::panic::resume_unwind(Box::new("a task")) })
        } else {
            spawn(async {
                let _bomb = Bomb;
                yield_now().await;
            })
        };
        match child.await {
            Err(error) if error.is_panic() => running.end("panic"),
            other => {
                self.stage.ledger.violation(format!("a task that panics: {other:?}"));
                running.end("other");
            }
        }
    }
}

/// Panics when it is dropped, quietly.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("a drop"));
    }
}
