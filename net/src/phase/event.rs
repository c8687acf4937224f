//! The event that tells of a timeout, once.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use punctual_reactor::{Instant, ScopeId, current_scope_id};

use super::names::{TARGET, field};
use crate::error::{DeadlineInfo, Error, Phase};

thread_local! {
    static TELLS: Cell<Tells> = const { Cell::new(Tells::All) };
}

/// Which timeouts are told where they occur.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    All,
    /// Not those of a scope that occur in this one: they end the phase around the operation, which tells of itself.
    AllButEndsOf(Option<ScopeId>),
    /// None: they are part of something larger, which goes on.
    Nothing,
}

impl Tells {
    /// Awaits `future` under this rule, unless one around it says nothing at all is to be told. If it is dropped
    /// before it is ready nothing is told of it: that is for whoever holds it.
    pub(crate) async fn during<F: Future>(self, future: F) -> F::Output {
        // Dropped in the reverse order: first silence, then the future, then as it was.
        let mut loud = None;
        let mut future = pin!(future);
        let _hush = Hush(&mut loud);
        poll_fn(|cx| self.within(|| future.as_mut().poll(cx))).await
    }

    fn within<R>(self, code: impl FnOnce() -> R) -> R {
        let before = TELLS.get();
        let _back = Back(before);
        if before != Tells::Nothing {
            TELLS.set(self);
        }
        code()
    }

    fn tells(self, info: &DeadlineInfo) -> bool {
        match self {
            Tells::All => true,
            Tells::AllButEndsOf(scope) => !info.of_scope || scope != current_scope_id(),
            Tells::Nothing => false,
        }
    }
}

/// Puts the rule back that held before.
struct Back(Tells);

impl Drop for Back {
    fn drop(&mut self) {
        TELLS.set(self.0);
    }
}

/// From its drop on nothing is told, until what it is in is dropped as well.
struct Hush<'a>(&'a mut Option<Back>);

impl Drop for Hush<'_> {
    fn drop(&mut self) {
        *self.0 = Some(Back(TELLS.replace(Tells::Nothing)));
    }
}

impl Error {
    /// Tells of a timeout, unless that was done: an operation has ended with this error, which is complete. Nothing
    /// else is told of.
    pub(crate) fn tell(self) -> Error {
        let told = self.deadline().is_some_and(|info| TELLS.get().tells(info));
        if told { self.tell_since(None) } else { self }
    }

    /// As [`tell`](Error::tell), of a phase that began `since` then: of a scope's deadline too.
    pub(crate) fn tell_of_phase(self, since: Instant) -> Error {
        if TELLS.get() == Tells::Nothing { self } else { self.tell_since(Some(since)) }
    }

    fn tell_since(self, since: Option<Instant>) -> Error {
        match self.deadline() {
            Some(info) if self.is_timeout() && !self.was_told() => {
                emit(&self, info, since);
                self.once_told()
            }
            _ => self,
        }
    }
}

/// All events have these fields; what is not known is left out.
macro_rules! timeout {
    ($level:ident, $name:literal, $told:ident $(, $field:path = $value:expr)*) => {
        tracing::event!(
            name: $name,
            target: TARGET,
            tracing::Level::$level,
            {
                { field::PHASE } = $told.error.phase().as_str(),
                { field::ENDPOINT } = $told.error.endpoint(),
                { field::PEER } = $told.error.peer().map(display),
                { field::BUDGET_MS } = $told.info.budget().map(milliseconds),
                { field::ELAPSED_MS } = $told.info.elapsed().map(milliseconds),
                { field::LATE_US } = microseconds($told.info.lateness()),
                { field::LATE_CHOSEN_US } = $told.info.firing().map(|f| microseconds(f.quantisation)),
                { field::LATE_KERNEL_US } = $told.info.firing().map(|f| microseconds(f.kernel)),
                { field::LATE_LOOP_US } = $told.info.firing().map(|f| microseconds(f.in_loop)),
                { field::DEADLINE_NAME } = $told.info.name(),
                { field::DEADLINE_KIND } = $told.info.kind(),
                { field::DEADLINE_SET_AT } = $told.info.location().map(display),
                { field::DIAGNOSIS } = $told.error.diagnosis().map(display),
                { field::TRANSFERRED_BYTES } = whole($told.error.transferred()),
                { field::ERROR } = display($told.error),
                $({ $field } = $value,)*
            },
            $name
        )
    };
}

struct Told<'a> {
    error: &'a Error,
    info: &'a DeadlineInfo,
    since: Instant,
}

/// Out of line: nothing of this is run on a path that succeeds.
#[cold]
fn emit(error: &Error, info: &DeadlineInfo, since: Option<Instant>) {
    let since = since.unwrap_or_else(|| info.fired() - info.elapsed().unwrap_or_default());
    let told = Told { error, info, since };
    match error.phase() {
        Phase::Resolve => {
            timeout!(WARN, "dns.resolve.timeout", told, field::DNS_DURATION_MS = told.duration_ms());
        }
        Phase::Connect => {
            timeout!(WARN, "tcp.connect.timeout", told, field::CONNECT_START_TS = told.unix_start_us());
        }
        Phase::Tls => timeout!(WARN, "tls.handshake.timeout", told),
        Phase::Request => timeout!(WARN, "http.request.timeout", told),
        Phase::FirstByte => timeout!(WARN, "http.first_byte.timeout", told),
        Phase::GrpcHeader => {
            timeout!(WARN, "grpc.header.timeout", told, field::HEADER_RECV_TS = told.unix_start_us());
        }
        Phase::Body => timeout!(WARN, "http.body.timeout", told),
        Phase::RequestFirstByte => timeout!(INFO, "http.server.first_byte.timeout", told),
        Phase::RequestHeader => timeout!(WARN, "http.server.header.timeout", told),
        Phase::RequestBody => timeout!(WARN, "http.server.body.timeout", told),
        Phase::RequestTotal => timeout!(WARN, "http.server.request.timeout", told),
        Phase::ResponseWrite => timeout!(WARN, "http.server.write.timeout", told),
        Phase::KeepAlive => timeout!(INFO, "http.server.keep_alive.timeout", told),
        Phase::Read => timeout!(INFO, "read.timeout", told),
        Phase::Write => timeout!(INFO, "write.timeout", told),
        Phase::Accept => timeout!(INFO, "accept.timeout", told),
        Phase::Shutdown => timeout!(INFO, "shutdown.timeout", told),
        Phase::Copy => timeout!(INFO, "copy.timeout", told),
        Phase::Bind => timeout!(INFO, "bind.timeout", told),
        Phase::Configure => timeout!(INFO, "configure.timeout", told),
    }
}

impl Told<'_> {
    fn duration_ms(&self) -> f64 {
        milliseconds(self.info.fired() - self.since)
    }

    /// When it began on the wall clock, as that stands now.
    fn unix_start_us(&self) -> i64 {
        // First, so that the time between the two makes it later, and never earlier than it was.
        let elapsed = self.since.elapsed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        whole(now.saturating_sub(elapsed).as_micros())
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Rounded up: what was late at all is not said to be on time.
fn microseconds(duration: Duration) -> i64 {
    whole(duration.as_nanos().div_ceil(1_000))
}

/// A number as the fields have it: of the one type of whole numbers that OpenTelemetry knows.
pub(super) fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
