//! [`Expired`]: a deadline of the server that has ended something.

use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Firing, Instant};
use tracing::Span;

use crate::error::{DeadlineInfo, Error, Phase};
use crate::phase::Running;

/// Which deadline, and how it fired.
pub(super) struct Expired {
    pub(super) phase: Phase,
    pub(super) info: DeadlineInfo,
    pub(super) firing: Option<Firing>,
}

impl Expired {
    pub(super) fn new(
        phase: Phase,
        began: Instant,
        budget: Option<Duration>,
        deadline: Instant,
        firing: Option<Firing>,
    ) -> Expired {
        let fired = firing.map_or_else(Instant::now, |firing| firing.fired);
        let info = DeadlineInfo { began: Some(began), budget, ..DeadlineInfo::new(deadline, fired) };
        Expired { phase, info, firing }
    }

    /// The error, which `explain` completes; recorded, and told of by the event of its phase.
    pub(super) fn tell(self, peer: Option<SocketAddr>, explain: impl FnOnce(Error) -> Error) -> Error {
        let Expired { phase, info, firing } = self;
        let (began, deadline, budget) =
            (info.began.unwrap_or(info.deadline), info.deadline, info.budget);
        let mut error = Error::timeout(phase, info);
        if let Some(firing) = firing {
            error = error.fired_as(firing);
        }
        if let Some(peer) = peer {
            error = error.with_peer(peer);
        }
        Running::new(phase, began, deadline, budget, Span::none()).fail(explain(error))
    }
}
