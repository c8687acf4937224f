//! [`Progress`]: where a connection is in its requests, and by when it must have got further.
//!
//! ```text
//!  accept ─▶ FirstByte ─▶ Header ─────▶ Handling ───────▶ Flush ─▶ KeepAlive ─▶ Header ─▶ …
//!            15 s         30 s in all,  5 min in all,              75 s
//!                         no matter     response and
//!                         what drips    flush included     beside all: 30 s with nothing taken
//! ```
//!
//! Between stages nothing is armed and no clock is read: a stage that has been passed through before the connection waits
//! again never had a deadline. Where it waits, the clock is read once, and the deadline kept; [`Alarm`] is the one timer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use punctual_reactor::{Firing, Instant, Leeway, Sleep, WaitGuard, sleep_until};

use super::body::Fate;
use super::expired::Expired;
use super::head::Heads;
use super::info::Shared;
use super::site::Site;
use super::spares::Spares;
use super::stream::StreamState;
use crate::error::Phase;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    FirstByte,
    Header,
    /// A request has come, and its response has not been handed over yet.
    Handling,
    /// The protocol has all of the response, the kernel not yet.
    Flush,
    KeepAlive,
}

/// Shared by what sees bytes come and go, what answers, and what watches the time.
pub(super) struct Progress {
    pub(super) site: Rc<Site>,
    /// What the request under way is told.
    pub(super) shared: Arc<Shared>,
    stage: Cell<Stage>,
    /// When the stage began, once that is known.
    began: Cell<Option<Instant>>,
    stall: Cell<Stall>,
    /// Requests so far.
    pub(super) requests: Cell<u64>,
    /// Requests under way.
    pub(super) open: Cell<usize>,
    /// The response to the last request has begun.
    pub(super) responds: Cell<bool>,
    /// No further request is to be taken.
    pub(super) last: Cell<bool>,
    /// The client has ended its side.
    pub(super) ended: Cell<bool>,
    /// Whether the last request has a body.
    has_body: Cell<bool>,
    /// What has become of that body.
    pub(super) body: RefCell<Option<Arc<Fate>>>,
    /// Of HTTP/1, what has come of the head of a request.
    heads: RefCell<Heads>,
    /// What came was no request: the client is sent away.
    pub(super) refused: Cell<bool>,
    /// Of HTTP/2, whose requests have deadlines of their own.
    pub(super) multiplexed: Cell<bool>,
    /// Of those the one whose future comes next.
    pub(super) announced: Cell<Option<Rc<StreamState>>>,
    /// Those that are done, for the next ones.
    pub(super) spares: Spares<Rc<StreamState>>,
}

/// Whether the client takes what it is sent.
#[derive(Clone, Copy)]
enum Stall {
    No,
    /// It does not, as of now.
    Yes,
    Since(Instant),
}

impl Progress {
    pub(super) fn new(site: Rc<Site>, shared: Arc<Shared>, accepted: Instant) -> Progress {
        Progress {
            site,
            shared,
            stage: Cell::new(Stage::FirstByte),
            began: Cell::new(Some(accepted)),
            stall: Cell::new(Stall::No),
            requests: Cell::new(0),
            open: Cell::new(0),
            responds: Cell::new(false),
            last: Cell::new(false),
            ended: Cell::new(false),
            has_body: Cell::new(false),
            body: RefCell::default(),
            heads: RefCell::default(),
            refused: Cell::new(false),
            multiplexed: Cell::new(false),
            announced: Cell::default(),
            spares: Spares::default(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.began.set(None);
    }

    /// The first byte of all: the headers have what is left of their time since the accept.
    pub(super) fn began(&self) {
        self.stage.set(Stage::Header);
    }

    /// These have come; no more is the end. Whether they may be (the beginning of) a request.
    #[inline]
    pub(super) fn received(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            self.ended.set(true);
            return true;
        }
        if self.multiplexed.get() {
            return true;
        }
        match self.stage() {
            Stage::KeepAlive => self.enter(Stage::Header),
            Stage::FirstByte | Stage::Header => {}
            // Of a body, or what was sent before the response to the one before.
            Stage::Handling | Stage::Flush => {}
        }
        let fine = self.heads.borrow_mut().received(bytes);
        self.refused.set(!fine);
        fine
    }

    /// Of a client that has ended its side: whether it waits for the answer to a request of which it has sent all.
    pub(super) fn is_awaited(&self) -> bool {
        let is_whole = || self.body.borrow().as_ref().is_some_and(|fate| fate.is_whole());
        self.is_answering() && (!self.has_body.get() || is_whole())
    }

    /// Whether the request under way has a body of which the handler may not have seen all that has come.
    pub(super) fn reads_a_body(&self) -> bool {
        self.is_answering() && self.has_body.get()
    }

    /// Of HTTP/1: whether a request has come that is not answered yet.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self.stage(), Stage::Handling | Stage::Flush) && !self.multiplexed.get()
    }

    /// Whether all that a client that has ended its side has asked for is answered.
    pub(super) fn is_over(&self) -> bool {
        self.ended.get() && self.stage() == Stage::KeepAlive
    }

    /// Whether the request that has come could be read in another way.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.heads.borrow().are_in_doubt()
    }

    /// The headers of a request are complete. Returns whether it is the last that is taken.
    #[inline]
    pub(super) fn handling(&self, has_body: bool) -> bool {
        self.has_body.set(has_body);
        if !self.multiplexed.get() {
            self.heads.borrow_mut().taken(has_body);
        }
        self.enter(Stage::Handling);
        self.responds.set(false);
        self.open.set(self.open.get() + 1);
        let requests = self.requests.get() + 1;
        self.requests.set(requests);
        if requests >= self.site.limits.requests_per_connection {
            self.last.set(true);
        }
        self.last.get()
    }

    /// The response has been handed over, or its request given up.
    #[inline]
    pub(super) fn answered(&self) {
        let open = self.open.get().saturating_sub(1);
        self.open.set(open);
        if open > 0 {
            return;
        }
        match self.stage() {
            // Of HTTP/2 what is not taken stalls, and the rest is idle.
            Stage::Handling if self.multiplexed.get() => self.enter(Stage::KeepAlive),
            Stage::Handling => self.stage.set(Stage::Flush),
            _ => {}
        }
    }

    /// Everything written has been taken by the kernel.
    #[inline]
    pub(super) fn flushed(&self) {
        if self.stage() == Stage::Flush {
            self.enter(Stage::KeepAlive);
        }
    }

    #[inline]
    pub(super) fn wrote(&self, taken: bool) {
        match (taken, self.stall.get()) {
            (true, _) => self.stall.set(Stall::No),
            (false, Stall::No) => self.stall.set(Stall::Yes),
            (false, _) => {}
        }
    }

    /// Whether nothing is under way: such a connection may be closed at any time.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0 && self.stage() != Stage::Flush
    }

    /// What is to be over first, since when it is under way, and by when it must be over.
    fn bound(&self, now: &Now<'_>) -> (Phase, Instant, Instant) {
        let began = self.began.get().unwrap_or_else(|| {
            let began = now.read();
            self.began.set(Some(began));
            began
        });
        let (phase, until) = self.of_stage(began);
        let since = match self.stall.get() {
            Stall::No => return (phase, began, until),
            Stall::Yes => now.read(),
            Stall::Since(since) => since,
        };
        self.stall.set(Stall::Since(since));
        let stalled = since + self.site.timeouts.write_stall;
        if stalled < until { (Phase::ResponseWrite, since, stalled) } else { (phase, began, until) }
    }

    /// Of a stage that has begun just now, if nothing stalls: whether it must be over no earlier than `set_to`.
    #[inline]
    fn begins_before(&self, set_to: Instant, now: impl FnOnce() -> Instant) -> bool {
        if self.began.get().is_some() || !matches!(self.stall.get(), Stall::No) {
            return false;
        }
        let now = now();
        self.began.set(Some(now));
        now < set_to && set_to <= self.of_stage(now).1
    }

    /// What is under way, and by when it must be over.
    #[inline]
    fn of_stage(&self, began: Instant) -> (Phase, Instant) {
        let timeouts = &self.site.timeouts;
        match self.stage() {
            Stage::KeepAlive => (Phase::KeepAlive, began + timeouts.keep_alive),
            Stage::Header => (Phase::RequestHeader, began + timeouts.header),
            Stage::FirstByte => {
                (Phase::RequestFirstByte, began + timeouts.first_byte.min(timeouts.header))
            }
            Stage::Handling | Stage::Flush if self.multiplexed.get() => {
                (Phase::RequestTotal, Instant::FAR_FUTURE)
            }
            Stage::Handling | Stage::Flush => (Phase::RequestTotal, self.shared.until_from(|| began)),
        }
    }
}

/// The clock of an alarm, read once at most.
pub(super) struct Now<'a> {
    sleep: &'a Sleep,
    read: Cell<Option<Instant>>,
}

impl Now<'_> {
    #[inline]
    pub(super) fn read(&self) -> Instant {
        self.read.get().unwrap_or_else(|| {
            let now = self.sleep.now();
            self.read.set(Some(now));
            now
        })
    }
}

/// The timer of a connection. It is moved to what is due earlier at once, and to what is due later when it fires.
pub(super) struct Alarm {
    sleep: Sleep,
    /// What it is set to, and the task waits for.
    set_to: Instant,
}

impl Alarm {
    /// For a wait that the audit calls `what`.
    pub(super) fn new(what: &'static str) -> Alarm {
        let set_to = Instant::FAR_FUTURE;
        let sleep = sleep_until(set_to).with_leeway(Leeway::MILLISECOND);
        Alarm { sleep: sleep.bounding(WaitGuard::new(), what), set_to }
    }

    /// What is polled within it is known to the audit as bounded by this.
    #[inline]
    pub(super) fn around<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.sleep.poll_bounded(poll)
    }

    /// Ready when `progress` has not got on in time.
    #[inline]
    pub(super) fn poll(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<Expired> {
        // It was polled when it was set, and wakes the same task: it need not be asked before it can have fired.
        if progress.begins_before(self.set_to, || self.sleep.now()) {
            return Poll::Pending;
        }
        self.look(progress, cx)
    }

    #[inline(never)]
    fn look(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<Expired> {
        self.poll_first(|now| progress.bound(now), cx)
    }

    /// Ready when what `first` says is over, wherever it was set to before: the phase, when it began, and until when it is not.
    pub(super) fn poll_first(
        &mut self,
        first: impl FnOnce(&Now<'_>) -> (Phase, Instant, Instant),
        cx: &mut Context<'_>,
    ) -> Poll<Expired> {
        let now = Now { sleep: &self.sleep, read: Cell::new(None) };
        let (phase, began, until) = first(&now);
        // As above.
        if self.set_to <= until && now.read.get().is_some_and(|now| now < self.set_to) {
            return Poll::Pending;
        }
        let firing = ready!(self.poll_until(until, cx));
        Poll::Ready(Expired::new(phase, began, Some(until - began), until, firing))
    }

    fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<Option<Firing>> {
        loop {
            if until < self.set_to || self.sleep.is_elapsed() {
                self.sleep.reset(until);
                self.set_to = until;
            }
            ready!(Pin::new(&mut self.sleep).poll(cx));
            if self.set_to >= until {
                return Poll::Ready(self.sleep.firing());
            }
        }
    }
}
