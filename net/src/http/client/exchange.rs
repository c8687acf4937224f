//! [`Exchange`]: one request on its way out, as its sender, its body and the connection know it.
//!
//! ```text
//!   hyper polls the body ── told_… ───────────────▶ ┌──────────┐ ── limit, sent ──▶ the phase `request`
//!   hyper writes ────────── wrote, flushed ───────▶ │ Exchange │
//!   hyper parses a 1xx ──── informed ─────────────▶ └──────────┘ ── holds_body_back ──▶ the body
//! ```

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::error::Phase;
use crate::phase::Limit;

use super::connection::Connection;
use super::timeouts::Deadlines;

/// How much of a request may be written within one `request_write`; what is longer has it anew.
const WINDOW_BYTES: u64 = 64 * 1024;
/// How many interim responses there may be to one request.
const INFORMATIONAL_MAX: u8 = 5;

pub(super) struct Exchange {
    /// Its number among those of its connection.
    pub(super) number: u64,
    deadlines: Deadlines,
    /// What bounds it until it is sent.
    limit: Cell<Limit>,
    /// How much of the present window has been written.
    window: Cell<u64>,
    /// How much the connection had written before.
    written_before: Cell<u64>,
    read_before: u64,
    /// Others are written beside it: what the connection writes says nothing of this one.
    http2: bool,
    /// The body has told all of itself.
    whole: Cell<bool>,
    /// Something has been told that may not have been written.
    unwritten: Cell<bool>,
    /// The body had nothing to tell when it was asked last.
    starved: Cell<bool>,
    sent: Cell<bool>,
    abandoned: Cell<bool>,
    body_failed: Cell<bool>,
    informational: Cell<u8>,
    /// The body is held back until the server asks for it.
    held_back: Cell<bool>,
    body: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

impl Exchange {
    /// A request that is handed over now, to `on`.
    pub(super) fn new(deadlines: Deadlines, on: &Connection, held_back: bool) -> Exchange {
        Exchange {
            deadlines,
            limit: Cell::new(deadlines.request_write()),
            window: Cell::new(0),
            written_before: Cell::new(on.written()),
            read_before: on.bytes_read(),
            http2: on.http2,
            whole: Cell::new(false),
            unwritten: Cell::new(true),
            starved: Cell::new(false),
            sent: Cell::new(false),
            abandoned: Cell::new(false),
            number: on.next_number(),
            body_failed: Cell::new(false),
            informational: Cell::new(0),
            held_back: Cell::new(held_back),
            body: RefCell::default(),
            sender: RefCell::default(),
        }
    }

    pub(super) fn limit(&self) -> &Cell<Limit> {
        &self.limit
    }

    /// The body has told a part. Over HTTP/2 it is asked for one when there is room for it in the window that the peer
    /// gives the stream, so that it counts as written.
    pub(super) fn told_more(&self, bytes: u64) {
        self.starved.set(false);
        if !self.unwritten.replace(true) && self.limit.get().phase != Phase::Request {
            self.begin_window();
        } else if self.http2 {
            self.moved(bytes);
        }
    }

    /// The body has nothing to tell at present: what is waited for is not the connection.
    pub(super) fn told_nothing(&self, cx: &mut Context<'_>) {
        *self.body.borrow_mut() = Some(cx.waker().clone());
        if !self.starved.replace(true) {
            self.look();
        }
    }

    /// The body has ended. What says so to the peer is yet to be written, even if all parts have been.
    pub(super) fn told_all(&self) {
        if !self.whole.replace(true) && !self.unwritten.replace(true) {
            self.begin_window();
        }
    }

    pub(super) fn told_failure(&self) {
        self.body_failed.set(true);
    }

    /// Whether it ended because of its own body.
    pub(super) fn body_failed(&self) -> bool {
        self.body_failed.get()
    }

    /// The connection has written `bytes` of whatever it had.
    pub(super) fn wrote(&self, bytes: u64) {
        if !self.http2 {
            self.moved(bytes);
        }
    }

    fn moved(&self, bytes: u64) {
        self.window.set(self.window.get() + bytes);
        if self.window.get() >= WINDOW_BYTES && self.limit.get().phase == Phase::Request {
            self.begin_window();
        }
    }

    /// The connection has written all it had: `written` since it stands.
    pub(super) fn flushed(&self, written: u64) {
        if written > self.written_before.get() && self.unwritten.replace(false) {
            self.look();
        }
    }

    /// Whether it is sent now, or it is the body that is waited for: then time counts for the peer's answer.
    fn look(&self) {
        if self.unwritten.get() || self.sent.get() {
            return;
        }
        if self.whole.get() {
            self.sent.set(true);
            self.set_limit(self.deadlines.first_byte());
            self.wake();
        } else if self.starved.get() {
            self.set_limit(self.deadlines.first_byte());
        }
    }

    fn begin_window(&self) {
        self.window.set(0);
        self.set_limit(self.deadlines.request_write());
    }

    /// What is to end later is found out when it is due.
    fn set_limit(&self, limit: Limit) {
        if self.limit.replace(limit).deadline > limit.deadline {
            self.wake();
        }
    }

    fn wake(&self) {
        let sender = self.sender.borrow_mut().take();
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.get()
    }

    /// Nobody is interested in it any more, though it is not sent: the response has ended.
    pub(super) fn abandon(&self) {
        self.abandoned.set(true);
        let body = self.body.borrow_mut().take();
        if let Some(body) = body {
            body.wake();
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }

    /// Whether the connection, which has read so much, has read anything since.
    pub(super) fn has_heard(&self, read: u64) -> bool {
        read > self.read_before
    }

    /// Whether it is written. The task is woken when it is, and for any other reason to look again: also after it has
    /// been written.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        *self.sender.borrow_mut() = Some(cx.waker().clone());
        if self.sent.get() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// There is an interim response of this status.
    pub(super) fn informed(&self, status: u16) {
        self.informational.set(self.informational.get().saturating_add(1));
        if status == 100 {
            self.release_body();
        }
        if self.is_flooded() {
            self.wake();
        }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.informational.get() > INFORMATIONAL_MAX
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.get()
    }

    /// The body is to be sent, asked for or not.
    pub(super) fn release_body(&self) {
        if self.held_back.replace(false) {
            self.begin_window();
            let body = self.body.borrow_mut().take();
            if let Some(body) = body {
                body.wake();
            }
        }
    }

    pub(super) fn holds_body_back(&self, cx: &mut Context<'_>) -> bool {
        if self.held_back.get() {
            *self.body.borrow_mut() = Some(cx.waker().clone());
        }
        self.held_back.get()
    }
}
