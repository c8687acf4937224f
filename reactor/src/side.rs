//! [`Side`]: one direction of a source: its bounds, who waits, and what it has had of the turn.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;

use crate::arena::Id;
use crate::drift::Wait;
use crate::leeway::Leeway;
use crate::lone::Lone;
use crate::source::NEVER;
use crate::waiters::{Note, Waiters, Wakeup, Woken};
use crate::waits::Label;

/// One direction of a source. Each field is a cell: who operates on it borrows nothing.
#[derive(Debug)]
pub(crate) struct Side {
    /// The deadline of the side, sticky. It and the timeout are set by [`Source`](crate::source::Source), which marks that
    /// they are.
    pub(super) deadline: Cell<u64>,
    /// How long each operation may take from its start.
    pub(super) timeout: Cell<u64>,
    /// When the side wants to be told: its deadline, or its operations' own.
    pub(crate) wanted: Cell<u64>,
    /// How many operations wait.
    pub(crate) waiting: Cell<u32>,
    /// The operation that waits alone.
    pub(crate) lone: Lone,
    rare: OnceCell<Box<Rare>>,
    /// Where the deadline was set, if that was on this thread.
    pub(crate) set_at: Cell<Option<&'static Location<'static>>>,
    /// Where the timeout was set.
    pub(crate) timeout_set_at: Cell<Option<&'static Location<'static>>>,
    /// The widest leeway its deadlines may take.
    pub(crate) leeway: Cell<Leeway>,
    /// Whether its deadline has fired and was not touched since.
    pub(crate) overdue: Cell<bool>,
}

/// A firing of a side, as its operations look back at it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elapsed {
    pub(crate) at_ns: u64,
    pub(crate) in_turn: u64,
    /// How the loop had waited before that.
    pub(crate) after: Wait,
    pub(crate) order: u64,
}

/// What few sides have.
#[derive(Debug)]
struct Rare {
    /// When it was last told that its time is over.
    elapsed: Cell<Elapsed>,
    label: Cell<Option<Label>>,
    /// All that wait, but the one that waits alone.
    others: RefCell<Waiters>,
    /// The earliest of their own deadlines.
    others_own_ns: Cell<u64>,
    /// The name of the operation that waited last among them.
    last_operation: Cell<u32>,
}

impl Default for Rare {
    fn default() -> Rare {
        Rare {
            elapsed: Cell::default(),
            label: Cell::default(),
            others: RefCell::default(),
            others_own_ns: Cell::new(NEVER),
            last_operation: Cell::default(),
        }
    }
}

impl Rare {
    #[inline(never)]
    fn wake_lone_task(&self, wake: &mut impl FnMut(Id)) -> bool {
        self.others.borrow_mut().wake_lone_task(wake)
    }
}

impl Side {
    pub(crate) fn new(leeway: Leeway) -> Side {
        Side {
            deadline: Cell::new(NEVER),
            timeout: Cell::new(NEVER),
            wanted: Cell::new(NEVER),
            waiting: Cell::new(0),
            lone: Lone::default(),
            rare: OnceCell::new(),
            set_at: Cell::new(None),
            timeout_set_at: Cell::new(None),
            leeway: Cell::new(leeway),
            overdue: Cell::new(false),
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.get()
    }

    #[inline]
    pub(crate) fn timeout(&self) -> u64 {
        self.timeout.get()
    }

    /// Whether an operation may be out of time before it begins.
    pub(crate) fn may_let_none_begin(&self) -> bool {
        self.deadline() != NEVER || self.timeout() == 0
    }

    /// Its time is over.
    pub(crate) fn fired(&self, elapsed: Elapsed) {
        self.wanted.set(NEVER);
        self.overdue.set(true);
        self.rare().elapsed.set(elapsed);
    }

    /// When it was last told that its time is over; 0 if it never was.
    pub(crate) fn elapsed(&self) -> Elapsed {
        self.rare.get().map(|rare| rare.elapsed.get()).unwrap_or_default()
    }

    /// Sets what the audit calls an operation on it.
    pub(crate) fn set_label(&self, label: Label) {
        self.rare().label.set(Some(label));
    }

    /// What that calls it, if it was told.
    pub(crate) fn label(&self) -> Option<Label> {
        self.rare.get().and_then(|rare| rare.label.get())
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// A name for an operation that begins to wait beside others.
    pub(crate) fn next_name(&self) -> u32 {
        let last = &self.rare().last_operation;
        last.set(last.get().wrapping_add(1));
        last.get()
    }

    /// The earliest of the waiting operations' own deadlines, from the timeouts they were given.
    pub(crate) fn own(&self) -> u64 {
        let others_ns = self.rare.get().map_or(NEVER, |rare| rare.others_own_ns.get());
        self.lone.times.get().own_ns.min(others_ns)
    }

    /// One that does not wait alone has until `own_ns`; it is the `only` one, or not.
    pub(crate) fn other_has_until(&self, own_ns: u64, only: bool) {
        let all = &self.rare().others_own_ns;
        all.set(if only { own_ns } else { own_ns.min(all.get()) });
    }

    /// One of those that do not wait alone waits no longer. Returns its wakeup, unless that was taken out before. One that was
    /// woken and still waits sets its own deadline again when it is polled.
    pub(crate) fn left_by_other(&self, name: u32) -> Option<Wakeup> {
        let rare = self.rare.get()?;
        let mut others = rare.others.borrow_mut();
        let wakeup = others.remove(name);
        rare.others_own_ns.set(others.notes().map(|note| note.until_ns).min().unwrap_or(NEVER));
        wakeup
    }

    /// Room for the others that wait.
    pub(crate) fn others_mut(&self) -> &RefCell<Waiters> {
        &self.rare().others
    }

    /// The others that wait, if there ever were any.
    #[inline]
    pub(crate) fn others(&self) -> Option<&RefCell<Waiters>> {
        self.rare.get().map(|rare| &rare.others)
    }

    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.lone.is_to_be_woken() || self.has_others()
    }

    #[inline]
    fn has_others(&self) -> bool {
        self.others().is_some_and(|others| !others.borrow().is_empty())
    }

    /// Has the task woken that waits alone, if one does. Returns whether nobody else waits.
    #[inline(always)]
    pub(crate) fn wake_lone_task(&self, wake: &mut impl FnMut(Id)) -> bool {
        if let Some(task) = self.lone.take() {
            wake(task);
        }
        self.rare.get().is_none_or(|rare| rare.wake_lone_task(wake))
    }

    #[inline]
    pub(crate) fn take_woken(&self) -> Woken {
        if self.has_others() {
            return Woken::All(self.take_waiters());
        }
        self.lone.take().map_or(Woken::Nobody, |task| Woken::One(Wakeup::Task(task)))
    }

    /// Takes out all who wait.
    pub(crate) fn take_waiters(&self) -> Waiters {
        let mut all = Waiters::default();
        if let Some(note) = self.lone.note() {
            self.lone.forget();
            all.set_only(0, Wakeup::Task(note.poller.task), note);
        }
        all.append(self.others().map(RefCell::take).unwrap_or_default());
        all
    }

    /// What the audit says of those who wait.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let lone = self.lone.note();
        let others = self.others().map(|others| others.borrow());
        lone.into_iter().chain(others.iter().flat_map(|others| others.notes())).collect()
    }
}
