//! [`Lab`]: what a scenario is given.

use std::time::Duration;

use punctual::Runtime;
use punctual::net::{Error, Kind};

use crate::judge::{Class, Outcome, now};
use crate::options::How;

pub(crate) struct Lab {
    /// What the scenario is to bound its operation by.
    pub(crate) bound: Duration,
    /// What it is held to: the same, unless it is sabotaged.
    set: Duration,
    /// What the scenario runs on.
    pub(crate) runtime: Runtime,
    sabotage: Option<How>,
}

impl Lab {
    pub(crate) fn new(set: Duration, runtime: Runtime, sabotage: Option<How>) -> Lab {
        let bound = if sabotage == Some(How::Early) { set / 2 } else { set };
        Lab { bound, set, runtime, sabotage }
    }

    /// Runs what is judged. Within it the bound is set, so that the clock is read before.
    pub(crate) async fn measure<T>(
        &self,
        operation: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> (Result<T, Error>, Outcome) {
        let began = now();
        let result = operation().await;
        let mut outcome = Outcome::of(&result, self.set, began);
        if self.sabotage == Some(How::Class) {
            outcome.class = Class::Failed(Kind::Protocol);
        }
        (result, outcome)
    }
}
