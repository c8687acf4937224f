//! [`Watch`]: which phases there were while a future was polled, and how long each took.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Instant, PhaseEnding};

use crate::error::Phase;

thread_local! {
    static CURRENT: RefCell<Option<Watch>> = const { RefCell::new(None) };
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// Keeps an account of the phases that are begun [while](Watch::during) it watches, in that order.
#[derive(Clone)]
pub(crate) struct Watch(Rc<Account>);

struct Account {
    number: u64,
    phases: RefCell<Vec<Watched>>,
}

/// A phase that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) phase: Phase,
    pub(crate) began: Instant,
    pub(crate) budget: Option<Duration>,
    /// When and how it ended, if it has.
    pub(crate) end: Option<(Instant, PhaseEnding)>,
}

/// Which phase of which account. It is no reference, so that what runs a phase may be sent.
pub(super) struct Place {
    account: u64,
    index: usize,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        let number = MADE.get();
        MADE.set(number + 1);
        Watch(Rc::new(Account { number, phases: RefCell::default() }))
    }

    /// Awaits `future` and watches. Another watch inside it sees what is its own.
    pub(crate) async fn during<F: Future>(&self, future: F) -> F::Output {
        struct Back(Option<Watch>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _back = Back(CURRENT.replace(Some(self.clone())));
            future.as_mut().poll(cx)
        })
        .await
    }

    /// What has been seen so far.
    pub(crate) fn phases(&self) -> Vec<Watched> {
        self.0.phases.borrow().clone()
    }
}

pub(super) fn begun(phase: Phase, began: Instant, budget: Option<Duration>) -> Option<Place> {
    CURRENT.with_borrow(|current| {
        let account = &*current.as_ref()?.0;
        let mut phases = account.phases.borrow_mut();
        phases.push(Watched { phase, began, budget, end: None });
        Some(Place { account: account.number, index: phases.len() - 1 })
    })
}

/// What is dropped unfinished has no end: nobody watches any more.
pub(super) fn ended(place: Place, ending: PhaseEnding) {
    let _ = CURRENT.try_with(|current| {
        let current = current.try_borrow().ok()?;
        let account = &*current.as_ref().filter(|watch| watch.0.number == place.account)?.0;
        account.phases.borrow_mut().get_mut(place.index)?.end = Some((Instant::now(), ending));
        Some(())
    });
}
