//! [`Exchange`]: one request on its way out, as its sender, its body and the connection know it.
//!
//! ```text
//!   hyper polls the body ── told_more, told_all ──▶ ┌──────────┐ ── limit, sent ──▶ the phase `request`
//!   hyper writes ────────── wrote, flushed ───────▶ │ Exchange │
//!   hyper parses a 1xx ──── informed ─────────────▶ └──────────┘ ── holds_body_back ──▶ the body
//! ```

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::phase::Limit;

use super::connection::Connection;
use super::timeouts::Deadlines;

/// How much of a request may be written within one `request_write`; what is longer has it anew.
const WINDOW_BYTES: u64 = 64 * 1024;
/// How many interim responses there may be to one request.
const INFORMATIONAL_MAX: u8 = 5;

pub(super) struct Exchange {
    deadlines: Deadlines,
    /// What bounds it until it is sent.
    limit: Cell<Limit>,
    /// How much of the present window has been written.
    window: Cell<u64>,
    /// How much the connection had written before.
    written_before: Cell<u64>,
    read_before: u64,
    /// The body has told all of itself.
    whole: Cell<bool>,
    /// Something has been told that may not have been written.
    unwritten: Cell<bool>,
    sent: Cell<bool>,
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
            whole: Cell::new(false),
            unwritten: Cell::new(true),
            sent: Cell::new(false),
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

    pub(super) fn told_more(&self) {
        if !self.unwritten.replace(true) {
            // It had nothing to write, and time counted for the peer's answer.
            self.begin_window();
        }
    }

    pub(super) fn told_all(&self) {
        self.whole.set(true);
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
        self.window.set(self.window.get() + bytes);
        if self.window.get() >= WINDOW_BYTES {
            self.begin_window();
        }
    }

    /// The connection has written all it had: `written` since it stands.
    pub(super) fn flushed(&self, written: u64) {
        if written <= self.written_before.get() || !self.unwritten.get() {
            return;
        }
        if self.whole.get() {
            self.sent.set(true);
        }
        self.unwritten.set(false);
        self.limit.set(self.deadlines.first_byte());
        self.wake();
    }

    fn begin_window(&self) {
        self.window.set(0);
        self.limit.set(self.deadlines.request_write());
        self.wake();
    }

    fn wake(&self) {
        let sender = self.sender.borrow_mut().take();
        if let Some(sender) = sender {
            sender.wake();
        }
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
            self.limit.set(self.deadlines.request_write());
            let body = self.body.borrow_mut().take();
            if let Some(body) = body {
                body.wake();
            }
            self.wake();
        }
    }

    pub(super) fn holds_body_back(&self, cx: &mut Context<'_>) -> bool {
        if self.held_back.get() {
            *self.body.borrow_mut() = Some(cx.waker().clone());
        }
        self.held_back.get()
    }
}
