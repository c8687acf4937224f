//! [`Side`]: one direction of a source: its bounds, who waits, and what it has had of the turn.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;

use crate::arena::Id;
use crate::budget::Budget;
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
    /// The earliest of the waiting operations' own deadlines, from the timeouts they were given.
    pub(crate) own: Cell<u64>,
    /// When the side wants to be told: its deadline, or its operations' own.
    pub(crate) wanted: Cell<u64>,
    /// How many operations wait.
    pub(crate) waiting: Cell<u32>,
    /// The name of the operation that waited last.
    last_operation: Cell<u32>,
    /// The operation that waits alone. None ever does on most sides that are written to: room for it is made at the first wait.
    lone: OnceCell<Box<Lone>>,
    /// All others that wait.
    others: OnceCell<Box<RefCell<Waiters>>>,
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
#[derive(Debug, Default)]
struct Rare {
    /// When it was last told that its time is over.
    elapsed: Cell<Elapsed>,
    label: Cell<Option<Label>>,
}

/// The work done on one side in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// The lower half of the turn's number: after 2^32 turns without any use it is taken for this one, and an operation
    /// may have to wait for the next.
    turn: u32,
    operations: u32,
    bytes: u32,
}

impl Side {
    pub(crate) fn new(leeway: Leeway) -> Side {
        Side {
            deadline: Cell::new(NEVER),
            timeout: Cell::new(NEVER),
            own: Cell::new(NEVER),
            wanted: Cell::new(NEVER),
            waiting: Cell::new(0),
            last_operation: Cell::new(0),
            lone: OnceCell::new(),
            others: OnceCell::new(),
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
        let name = self.last_operation.get().wrapping_add(1);
        self.last_operation.set(name);
        name
    }

    /// Room for the operation that waits alone.
    #[inline]
    pub(crate) fn lone(&self) -> &Lone {
        self.lone.get_or_init(Box::default)
    }

    /// Room for the others that wait.
    pub(crate) fn others_mut(&self) -> &RefCell<Waiters> {
        self.others.get_or_init(Box::default)
    }

    /// The others that wait, if there ever were any.
    #[inline]
    pub(crate) fn others(&self) -> Option<&RefCell<Waiters>> {
        self.others.get().map(|others| &**others)
    }

    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.lone.get().is_some_and(|lone| lone.is_to_be_woken()) || self.has_others()
    }

    #[inline]
    fn has_others(&self) -> bool {
        self.others().is_some_and(|others| !others.borrow().is_empty())
    }

    /// Has the task woken that waits alone, if one does. Returns whether nobody else waits.
    #[inline(always)]
    pub(crate) fn wake_lone_task(&self, wake: &mut impl FnMut(Id)) -> bool {
        if let Some(task) = self.lone.get().and_then(|lone| lone.take()) {
            wake(task);
        }
        self.others().is_none_or(|others| others.borrow_mut().wake_lone_task(wake))
    }

    #[inline]
    pub(crate) fn take_woken(&self) -> Woken {
        if self.has_others() {
            return Woken::All(self.take_waiters());
        }
        let task = self.lone.get().and_then(|lone| lone.take());
        task.map_or(Woken::Nobody, |task| Woken::One(Wakeup::Task(task)))
    }

    /// Takes out all who wait.
    pub(crate) fn take_waiters(&self) -> Waiters {
        let mut all = Waiters::default();
        if let Some(lone) = self.lone.get()
            && let Some(note) = lone.note()
        {
            lone.forget();
            all.set_only(0, Wakeup::Task(note.poller.task), note);
        }
        all.append(self.others().map(RefCell::take).unwrap_or_default());
        all
    }

    /// What the audit says of those who wait.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let lone = self.lone.get().and_then(|lone| lone.note());
        let others = self.others().map(|others| others.borrow());
        lone.into_iter().chain(others.iter().flat_map(|others| others.notes())).collect()
    }
}

impl Used {
    /// Whether that was its share of this turn.
    #[inline]
    pub(crate) fn is_its_share(self, turn: u32, budget: &Budget) -> bool {
        self.turn == turn
            && (self.operations >= u32::from(budget.operations) || self.bytes >= budget.bytes)
    }

    /// With a system call of this turn more. A turn has fewer of them than 2^32.
    #[inline]
    pub(crate) fn and(self, turn: u32, bytes: usize) -> Used {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.turn == turn {
            let operations = self.operations.wrapping_add(1);
            Used { turn, operations, bytes: self.bytes.saturating_add(bytes) }
        } else {
            Used { turn, operations: 1, bytes }
        }
    }
}
