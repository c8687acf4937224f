//! The span of one phase, and what is said of its end.

use std::future::Future;
use std::time::Duration;

use punctual_reactor::{Enclosing, Instant, PhaseEnding, TimeoutBy, enclosing, record_phase};
use tracing::{Instrument, Span, field::display};

use super::names::field;
use crate::error::{DeadlineInfo, Error, Phase};

/// A phase under way, or a part of one. It ends once: as it is told, or dropped.
pub(crate) struct Running {
    span: Span,
    /// Of a phase, and not of a part of it.
    of: Option<Of>,
    over: bool,
    #[cfg(feature = "http")]
    watched: Option<super::watch::Place>,
}

struct Of {
    phase: Phase,
    began: Instant,
    /// The time that it really had.
    budget: Option<Duration>,
    /// What may drop it, telling it nothing.
    within: Enclosing,
}

/// How much time a phase had, for the record: until `deadline`, which is `budget` after it was set if it was set so; but
/// no longer than what it runs `within` lets it.
fn had(
    began: Instant,
    deadline: Instant,
    budget: Option<Duration>,
    within: &Enclosing,
) -> Option<Duration> {
    let without = within.until();
    match without.min(deadline) {
        Instant::FAR_FUTURE => None,
        until if without < deadline => Some(until - began),
        until => Some(budget.unwrap_or(until - began)),
    }
}

impl Running {
    /// A phase that began at `began`, in `span`, and has until `deadline`: `budget` after it was set, if it was set so.
    pub(crate) fn new(
        phase: Phase,
        began: Instant,
        deadline: Instant,
        budget: Option<Duration>,
        span: Span,
    ) -> Running {
        let within = enclosing();
        let budget = had(began, deadline, budget, &within);
        Running {
            span,
            of: Some(Of { phase, began, budget, within }),
            over: false,
            #[cfg(feature = "http")]
            watched: super::watch::begun(phase, began, budget),
        }
    }

    /// A part of a phase: neither recorded, nor told of.
    pub(crate) fn part(span: Span) -> Running {
        Running {
            span,
            of: None,
            over: false,
            #[cfg(feature = "http")]
            watched: None,
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Runs all of it: `future` in the span, and its end as that of the phase.
    pub(crate) async fn run<T>(
        mut self,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match future.instrument(self.span.clone()).await {
            Ok(value) => {
                self.end(PhaseEnding::Done);
                Ok(value)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// It has failed so; a timeout is told of.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        let error = match &self.of {
            Some(of) => self.span.in_scope(|| error.tell_of_phase(of.began)),
            None => error,
        };
        self.end_as(Some(&error));
        error
    }

    /// It has ended, with an error or well.
    pub(crate) fn end_as(&mut self, error: Option<&Error>) {
        let Some(error) = error else { return self.end(PhaseEnding::Done) };
        self.span.record(field::ERROR, display(error));
        if let Some(diagnosis) = error.diagnosis() {
            self.span.record(field::DIAGNOSIS, display(diagnosis));
        }
        self.end(error.ending());
    }

    pub(crate) fn end(&mut self, ending: PhaseEnding) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(Of { phase, began, budget, .. }) = self.of {
            record_phase(phase.as_str(), ending, began.elapsed(), budget);
        }
        #[cfg(feature = "http")]
        if let Some(place) = self.watched.take() {
            super::watch::ended(place, ending);
        }
        self.span.record(field::OUTCOME, ending.as_str());
        if !matches!(ending, PhaseEnding::Done | PhaseEnding::Dropped) {
            self.span.record(field::STATUS, "ERROR");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.dropped();
        }
    }
}

impl Running {
    /// Nobody has told it how it ended. A timeout around it that has is told of as one of this phase.
    #[cold]
    fn dropped(&mut self) {
        let Some(Of { phase, began, within, .. }) = self.of else {
            return self.end(PhaseEnding::Dropped);
        };
        let ending = within.why_dropped();
        if ending == PhaseEnding::Timeout(TimeoutBy::Guard) {
            let info = DeadlineInfo::around(began, within.guard(), Instant::now());
            self.fail(Error::timeout(phase, info));
        }
        self.end(ending);
    }
}

/// A span of this phase, with what all have and `more`; what is known at its end only is empty.
macro_rules! open {
    ($name:expr, $phase:expr $(, $field:path = $value:expr)* $(,)?) => {
        tracing::span!(
            target: $crate::phase::TARGET,
            tracing::Level::DEBUG,
            $name,
            { $crate::phase::field::PHASE } = $phase.as_str(),
            $({ $field } = $value,)*
            { $crate::phase::field::OUTCOME } = tracing::field::Empty,
            { $crate::phase::field::ERROR } = tracing::field::Empty,
            { $crate::phase::field::DIAGNOSIS } = tracing::field::Empty,
            { $crate::phase::field::STATUS } = tracing::field::Empty,
        )
    };
}
pub(crate) use open;

#[cfg(test)]
mod tests {
    use std::fmt;

    use tracing::subscriber::NoSubscriber;

    use super::*;

    /// Whoever formats it has a test fail.
    struct Untold;

    impl fmt::Display for Untold {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("formatted for nobody")
        }
    }

    #[test]
    fn without_a_subscriber_nothing_is_formatted() {
        // Other tests have subscribers on their threads; a callsite that all of those always want asks nobody any more.
        tracing::subscriber::with_default(NoSubscriber::default(), || {
            let evaluated = std::cell::Cell::new(false);
            let span = open!(
                "connect",
                Phase::Connect,
                field::ENDPOINT = display(Untold),
                field::BUDGET_MS = {
                    evaluated.set(true);
                    1.0
                },
            );
            assert!(span.is_disabled() && !evaluated.get());
            let mut running =
                Running::new(Phase::Connect, Instant::from_nanos(1), Instant::FAR_FUTURE, None, span);
            running.span().record(field::PEER, display(Untold));
            let info = DeadlineInfo::new(Instant::from_nanos(2), Instant::from_nanos(3));
            let error = running.fail(Error::timeout(Phase::Connect, info));
            assert!(error.was_told(), "it is not told anew, were there somebody by then");
            running.end(PhaseEnding::Done);
            assert!(running.over);
        });
    }
}
