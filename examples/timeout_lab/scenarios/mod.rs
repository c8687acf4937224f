//! The scenarios: what each is called, what is done in it, and what is set against it.

mod connect;
mod deadlines;
mod names;
mod process;
mod scopes;
mod streams;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::judge::{Judged, Skipped};
use crate::lab::Lab;
use crate::namespace;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is done to the operation.
    pub(crate) fault: &'static str,
    /// What the bound is of.
    pub(crate) set: &'static str,
    /// The bound that counts, and that nothing may end it before.
    pub(crate) bound: Duration,
    /// How long it is meant to take.
    lasts: Duration,
    pub(crate) setting: Setting,
    pub(crate) run: Run,
}

pub(crate) type Run = for<'lab> fn(&'lab Lab) -> Pin<Box<dyn Future<Output = Judged> + 'lab>>;

/// What its process needs.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    Plain,
    /// A network of its own, made by these commands.
    Network(&'static str),
    /// To be stopped for this long as soon as it says that it is ready.
    Stopped(Duration),
}

/// In the order of the table.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [connect::ALL, scopes::ALL, names::ALL, streams::ALL, deadlines::ALL, process::ALL]
        .into_iter()
        .flatten()
}

impl Scenario {
    /// How long it may take, for which the start of a process counts too.
    pub(crate) fn budget(&self) -> Duration {
        self.lasts.max(ms(500))
    }

    /// Before there is a runtime.
    pub(crate) fn prepare(&self) -> Result<(), Skipped> {
        match self.setting {
            Setting::Network(commands) => namespace::build(commands),
            Setting::Plain | Setting::Stopped(_) => Ok(()),
        }
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
