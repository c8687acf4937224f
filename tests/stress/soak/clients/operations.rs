//! [`Client`]: a connection, and what is done with it while it lives.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use punctual::net::{Error, TcpStream};
use punctual::{Instant, scope, sleep, timeout};
use punctual_tests_stress::proxy::{Fault, Faults};
use punctual_tests_stress::rig::{now_ns, since};

use super::drawn::Bound;
use super::{GENEROUS, Stage};
use crate::ledger::Running;
use crate::wire::{Bad, Frame, Identity, Incoming, Outgoing, Wish};

/// What a client that suspects a stall waits for.
pub(super) const SUSPICIOUS: Duration = Duration::from_secs(1);
/// The longest sleep: so long it may take until a client notices that the load is over.
const NAP: Duration = Duration::from_secs(10);

pub(super) struct Client {
    pub(super) stage: Rc<Stage>,
    pub(super) stream: Rc<TcpStream>,
    pub(super) identity: Identity,
    pub(super) faults: Faults,
    pub(super) rng: Rng,
    next: u64,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Answers that are still to come, in order.
    pub(super) expected: VecDeque<Frame>,
}

/// What an exchange came to, of a connection that lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    TimedOut,
}

impl Client {
    pub(super) fn new(
        stage: Rc<Stage>,
        stream: TcpStream,
        identity: Identity,
        faults: Faults,
        rng: Rng,
    ) -> Client {
        Client {
            stage,
            stream: Rc::new(stream),
            identity,
            faults,
            rng,
            next: 0,
            outgoing: Outgoing::default(),
            incoming: Incoming::new(true),
            expected: VecDeque::new(),
        }
    }

    /// Some operations, and an end.
    pub(super) async fn talk(&mut self, last: bool) -> Result<(), Bad> {
        if last {
            self.exchange("exchange, last", Wish::Answer, 512).await?;
            return self.close_in_order().await;
        }
        for _ in 0..self.rng.u8(2..24) {
            self.rest().await;
            if self.stage.healed.get() {
                break;
            }
            self.operate().await?;
        }
        self.end().await
    }

    /// An operation begins, which ends within `limit` if all is well.
    pub(super) fn begin(&self, kind: &'static str, limit: Duration) -> Running {
        self.stage.monitor.expects(self.identity.slot, kind, limit);
        self.stage.ledger.begin(kind)
    }

    async fn operate(&mut self) -> Result<(), Bad> {
        let length = self.rng.u64(..2_000);
        let large = self.rng.u32(16 * 1024..256 * 1024);
        let later = Wish::Later(self.rng.u32(..30_000));
        match self.rng.u8(..64) {
            0..32 => self.exchange("exchange", Wish::Answer, length).await,
            32 => self.exchange("download", Wish::Large(large), length).await,
            33 => self.exchange("upload", Wish::Answer, u64::from(large)).await,
            34..40 => self.exchange("answer later", later, length).await,
            40..48 => self.silence().await,
            48..54 => self.deadline_from_outside().await,
            54..58 => self.extended_from_outside().await,
            58..61 => self.aborted_child().await,
            _ => {
                self.bomb().await;
                Ok(())
            }
        }
    }

    /// Between two operations: a sleep is one, too.
    async fn rest(&mut self) {
        let twice = self.stage.pause.get().as_nanos() as u64 * 2;
        let duration = Duration::from_nanos(self.rng.u64(..twice.max(1)));
        let began_ns = now_ns();
        while since(began_ns) < duration && !self.stage.patient.get() {
            let nap = (duration - since(began_ns).min(duration)).min(NAP);
            let running = self.begin("sleep", nap);
            let armed_ns = now_ns();
            sleep(nap).await;
            let passed = since(armed_ns);
            if passed < nap {
                self.stage.ledger.violation(format!("early: a sleep of {nap:?} after {passed:?}"));
            }
            running.end("ok");
        }
    }

    fn bound(&mut self) -> (Bound, bool) {
        let tight = !self.stage.patient.get() && self.rng.u8(..3) == 0;
        let bound = Bound::draw(&mut self.rng, tight);
        let stalls = self.faults.any(|fault| matches!(fault, Fault::Stall(_)));
        if stalls && !tight && !self.stage.patient.get() {
            return (Bound::Timeout(SUSPICIOUS), true);
        }
        (bound, tight)
    }

    /// Says something, and hears all that is to be heard.
    async fn exchange(&mut self, kind: &'static str, wish: Wish, length: u64) -> Result<(), Bad> {
        let (bound, may_time_out) = self.bound();
        self.push(wish, length);
        // A timeout of each read and write is one for each piece.
        let pieces = if matches!(bound, Bound::Timeout(_)) { 3 } else { 1 };
        let running = self.begin(kind, bound.time() * pieces + GENEROUS);
        let before = self.expected.len();
        match self.within(bound).await {
            Ok(Outcome::Done) if before > 1 => running.end("ok, and what was late"),
            Ok(Outcome::Done) => running.end("ok"),
            Ok(Outcome::TimedOut) => {
                running.end("timeout");
                if !may_time_out {
                    let what = format!("{kind} of {:?} with {:?} hung", self.identity, self.faults);
                    self.stage.ledger.violation(format!("{what} for {bound:?}: {:?}", self.stream));
                }
            }
            Err(bad) => {
                running.end(name_of(&bad));
                return Err(bad);
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, wish: Wish, length: u64) {
        let (identity, sequence) = (self.identity.to_word(), self.next);
        let frame = Frame { identity, sequence, wish, length, answer: false };
        self.next += 1;
        self.outgoing.push(frame);
        if frame.wants_answer() {
            self.expected.push_back(frame.answered());
        }
    }

    async fn within(&mut self, bound: Bound) -> Result<Outcome, Bad> {
        let (stream, stage) = (self.stream.clone(), self.stage.clone());
        let armed_ns = now_ns();
        let late =
            |time: Duration, error: &Error| stage.ledger.timed_out("exchange", armed_ns, time, error);
        match bound {
            Bound::Timeout(time) => {
                stream.set_timeout(Some(time)).expect("open");
                let result = self.converse(Some(time)).await;
                stream.set_timeout(None).expect("open");
                outcome(result, |_| {})
            }
            Bound::Deadline(time) => {
                stream.set_deadline(Some(Instant::now() + time)).expect("open");
                let result = self.converse(None).await;
                stream.set_deadline(None).expect("open");
                outcome(result, |error| late(time, error))
            }
            Bound::Scope(time) => match scope("exchange", time, async |_| self.converse(None).await)
                .await
            {
                Ok(result) => outcome(result, |error| late(time, error)),
                Err(error) => {
                    if !error.is_timeout() || since(armed_ns) < time {
                        let passed = since(armed_ns);
                        stage.ledger.violation(format!("early or odd, {passed:?} of {time:?}: {error}"));
                    }
                    // What was done before the end is done.
                    error.into_value().map_or(Ok(Outcome::TimedOut), |result| outcome(result, |_| {}))
                }
            },
            Bound::Dropped(time) => match timeout(time, self.converse(None)).await {
                Ok(result) => outcome(result, |error| late(time, error)),
                Err(_) => {
                    let passed = since(armed_ns);
                    if passed < time {
                        stage.ledger.violation(format!("early: a timeout of {time:?} after {passed:?}"));
                    }
                    Ok(Outcome::TimedOut)
                }
            },
        }
    }

    /// Sends what is to be sent, and hears what is to be heard; each read and write has `each`. Dropped, it goes on where it was.
    pub(super) async fn converse(&mut self, each: Option<Duration>) -> Result<(), Bad> {
        while !self.outgoing.is_empty() {
            let armed_ns = now_ns();
            let result = self.outgoing.write(&self.stream).await.map_err(Bad::Failed);
            self.check(armed_ns, each, result)?;
        }
        while let Some(expected) = self.expected.front() {
            if let Some(frame) = self.incoming.frame()? {
                if frame != *expected {
                    return Err(Bad::Astray(format!("{frame:?} instead of {expected:?}")));
                }
                self.expected.pop_front();
                continue;
            }
            let armed_ns = now_ns();
            let result = self.incoming.read(&self.stream).await;
            self.check(armed_ns, each, result)?;
        }
        match self.incoming.partial() {
            0 => Ok(()),
            more => Err(Bad::Astray(format!("{more} bytes that nobody asked for"))),
        }
    }

    /// O1 of one read or write.
    fn check(&self, armed_ns: u64, each: Option<Duration>, result: Result<(), Bad>) -> Result<(), Bad> {
        if let (Err(Bad::Failed(error)), Some(each)) = (&result, each)
            && error.is_timeout()
        {
            self.stage.ledger.timed_out("a read or write", armed_ns, each, error);
        }
        result
    }

    /// Everything is said and heard; `false` if that does not come to be: the network stalls.
    pub(super) async fn settle(&mut self) -> Result<bool, Bad> {
        let running = self.begin("settle", GENEROUS);
        let (bound, may_time_out) = match self.bound() {
            (_, true) => (Bound::Deadline(SUSPICIOUS), true),
            (bound, false) => (bound, false),
        };
        let settled = self.within(bound).await;
        running.end(match &settled {
            Ok(Outcome::Done) => "ok",
            Ok(Outcome::TimedOut) => "timeout",
            Err(bad) => name_of(bad),
        });
        if matches!(settled, Ok(Outcome::TimedOut)) && !may_time_out {
            self.stage.ledger.violation(format!("{:?} hung, {:?}", self.identity, self.faults));
        }
        settled.map(|outcome| outcome == Outcome::Done)
    }

    /// A read of which no byte may come.
    pub(super) async fn read_nothing(&mut self) -> Result<(), Error> {
        let mut byte = [0];
        let read = self.stream.read(&mut byte).await?;
        if read > 0 {
            self.stage.ledger.violation(format!("{:?} was sent what nobody asked for", self.identity));
        }
        Ok(())
    }
}

/// A timeout is an outcome, which `check` looks at.
pub(super) fn outcome(result: Result<(), Bad>, check: impl FnOnce(&Error)) -> Result<Outcome, Bad> {
    match result {
        Ok(()) => Ok(Outcome::Done),
        Err(Bad::Failed(error)) if error.is_timeout() => {
            check(&error);
            Ok(Outcome::TimedOut)
        }
        Err(bad) => Err(bad),
    }
}

pub(super) fn name_of(bad: &Bad) -> &'static str {
    match bad {
        Bad::Failed(error) => crate::ledger::ending(error.kind()),
        Bad::End | Bad::Torn => "end",
        Bad::Damaged => "damaged",
        Bad::Astray(_) => "astray",
    }
}
