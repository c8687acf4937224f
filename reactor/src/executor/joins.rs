//! [`Joins`]: who awaits a task.

use std::panic::Location;
use std::task::Waker;

use crate::arena::Id;
use crate::source::NEVER;
use crate::waiters::{Note, Poller, Wakeup};

/// A place for each task that is awaited; the task has its key.
#[derive(Default)]
pub(crate) struct Joins {
    all: Vec<Option<Join>>,
    vacant: Vec<u32>,
}

/// Where a task is noted that is awaited, if it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct JoinKey(u32);

/// Who awaits it.
pub(crate) enum Join {
    /// A task of the same runtime, which is woken by its name. If it is in a scope, it is polled as that ends, and nobody else has
    /// to tell it.
    Task(Listed),
    Waker(Waker),
}

/// What the audit says of a task that awaits another, and no more than that.
pub(crate) struct Listed {
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) since_ns: u64,
    pub(crate) poller: Poller,
    pub(crate) scope: Option<Id>,
}

impl Listed {
    pub(crate) fn note(&self) -> Note {
        let Listed { spawned_at: _, since_ns, poller, scope } = *self;
        Note { since_ns, until_ns: NEVER, poller, scope }
    }
}

impl JoinKey {
    pub(crate) const NONE: JoinKey = JoinKey(u32::MAX);
}

impl Joins {
    #[inline]
    pub(super) fn get_mut(&mut self, key: JoinKey) -> Option<&mut Join> {
        self.all.get_mut(key.0 as usize)?.as_mut()
    }

    #[inline]
    pub(super) fn insert(&mut self, join: Join) -> JoinKey {
        let key = match self.vacant.pop() {
            Some(key) => key,
            None => self.add(),
        };
        if let Some(place) = self.all.get_mut(key as usize) {
            *place = Some(join);
        }
        JoinKey(key)
    }

    /// Makes a place that has never been used.
    #[inline(never)]
    fn add(&mut self) -> u32 {
        // There are no more joins than tasks.
        let key = self.all.len() as u32;
        self.all.push(None);
        key
    }

    /// Forgets who awaits a task; returns how they are to be woken.
    #[inline]
    pub(super) fn remove(&mut self, key: &mut JoinKey) -> Option<Wakeup> {
        let key = std::mem::replace(key, JoinKey::NONE);
        let place = self.all.get_mut(key.0 as usize)?;
        let wakeup = match place {
            Some(Join::Task(listed)) => {
                let wakeup = Wakeup::Task(listed.poller.task);
                *place = None;
                wakeup
            }
            _ => Wakeup::Waker(place.take()?.into_waker()?),
        };
        self.vacant.push(key.0);
        Some(wakeup)
    }

    /// The tasks that await another.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.all.iter().filter_map(|join| match join {
            Some(Join::Task(listed)) => Some(listed),
            _ => None,
        })
    }
}

impl Join {
    fn into_waker(self) -> Option<Waker> {
        match self {
            Join::Task(_) => None,
            Join::Waker(waker) => Some(waker),
        }
    }
}
