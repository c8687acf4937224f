//! Tests: what a source keeps account of, mark by mark.

use std::num::NonZeroU32;

use super::*;
use crate::operation::Times;
use crate::readiness::Direction::{Read, Write};
use crate::timers::{Due, Timers};
use crate::waiters::{Note, Poller, Wakeup};
use crate::waits::Frame;
use punctual_timer_wheel::Tick;

const S: u64 = 1_000_000_000;

fn source() -> Source {
    Source::new(Leeway::MILLISECOND, Readiness::NONE)
}

/// Has task `index` wait on a side.
fn waits(source: &Source, direction: Direction, index: u32) {
    let task = Id { index, generation: NonZeroU32::MIN };
    let poller = Poller { task, frame: Frame::default() };
    let note = Note { since_ns: 0, until_ns: NEVER, poller, scope: None };
    let mut waiters = source.side(direction).others_mut().borrow_mut();
    assert!(waiters.set(index, Wakeup::Task(task), note).is_none());
}

fn count(waiters: &Waiters) -> usize {
    waiters.notes().count()
}

#[test]
fn each_side_looks_for_its_own_marks_and_for_the_end_of_all() {
    for (side, other) in [(Read, Write), (Write, Read)] {
        let begins = |source: &Source| {
            [side, other].map(|direction| source.has(Unusual::when_beginning(direction)))
        };
        let waits = |source: &Source| {
            [side, other].map(|direction| source.has(Unusual::when_waiting(direction)))
        };
        let source = source();
        assert_eq!((begins(&source), waits(&source)), ([false; 2], [false; 2]));
        source.set_deadline(side, 5 * S);
        assert_eq!((begins(&source), waits(&source)), ([true, false], [false; 2]));
        assert_eq!(source.side(side).deadline(), 5 * S);
        source.set_deadline(other, 6 * S);
        source.set_deadline(side, NEVER);
        assert_eq!(begins(&source), [false, true], "one side's mark is taken back alone");
        source.set_deadline(other, NEVER);
        source.put_timeout(side, S, Location::caller());
        assert_eq!(begins(&source), [false; 2], "who has time may begin");
        source.put_timeout(side, 0, Location::caller());
        assert_eq!((begins(&source), source.side(side).timeout()), ([true, false], 0));
        source.put_timeout(side, S, Location::caller());
        source.fired(side, Elapsed { at_ns: 7, ..Elapsed::default() });
        assert_eq!((begins(&source), waits(&source)), ([false; 2], [true, false]));
        assert_eq!(source.side(side).elapsed().at_ns, 7);
        source.fired(side, Elapsed { at_ns: 8, ..Elapsed::default() });
        assert_eq!(waits(&source), [true, false], "twice is no other mark");
        source.close(9);
        assert_eq!((begins(&source), waits(&source)), ([true; 2], [true; 2]));
    }
}

#[test]
fn a_bound_is_put_where_there_was_none_and_says_whether_somebody_waits_under_it() {
    let here = Location::caller();
    for (side, other) in [(Read, Write), (Write, Read)] {
        let source = source();
        assert!(!source.put_deadline(Write, NEVER, Some(here)));
        source.put_timeout(Write, NEVER, here);
        assert_eq!(source.sides().count(), 1, "no room is made to take away what there never was");
        assert!(!source.put_deadline(side, 5 * S, Some(here)), "nobody waits");
        let put = source.side(side);
        assert_eq!((put.deadline(), put.set_at.get()), (5 * S, Some(here)));
        assert!(source.has(Unusual::bounded(side)) && !source.has(Unusual::bounded(other)));
        source.side(other).waiting.set(1);
        assert!(!source.put_deadline(side, 6 * S, None), "who waits on the other side is not asked");
        put.waiting.set(2);
        put.overdue.set(true);
        assert!(source.put_deadline(side, 7 * S, None));
        assert_eq!((put.deadline(), put.set_at.get(), put.overdue.get()), (7 * S, None, false));
        source.put_timeout(side, 3 * S, here);
        assert_eq!((put.timeout(), put.timeout_set_at.get()), (3 * S, Some(here)));
        assert!(source.put_deadline(side, NEVER, None) && !source.has(Unusual::bounded(side)));
    }
}

#[test]
fn with_whom_it_waits_is_told_until_it_is_said_otherwise() {
    let source = source();
    assert!(
        source.subject().is_none() && source.set_subject(Subject::Literal("a name server")).is_none()
    );
    for _ in 0..2 {
        assert!(matches!(source.subject(), Some(Subject::Literal("a name server"))));
    }
    let before = source.set_subject(Subject::Process(7));
    assert!(matches!(before, Some(Subject::Literal("a name server"))));
    assert!(matches!(source.subject(), Some(Subject::Process(7))));
}

#[test]
fn a_close_and_an_interrupt_have_their_place_in_the_order_of_ends() {
    let closed = source();
    assert!(!closed.is_closed() && closed.interrupted().is_none());
    closed.close(17);
    assert_eq!((closed.is_closed(), closed.closed_order()), (true, 17));
    for raw in [false, true] {
        let source = source();
        source.raw.set(raw);
        let sides = || [Read, Write].map(|direction| source.side(direction));
        sides().iter().for_each(|side| side.wanted.set(S));
        waits(&source, Read, 1);
        waits(&source, Write, 2);
        let woken = source.interrupt(Interrupt::Shutdown, 23).expect("the first");
        assert_eq!((count(&woken), source.interrupted()), (2, Some(&(23, Interrupt::Shutdown))));
        assert!(source.has(Unusual::when_waiting(Read)) && source.has(Unusual::when_beginning(Write)));
        let wanted = if raw { S } else { NEVER };
        assert!(sides().iter().all(|side| side.wanted.get() == wanted), "raw: {raw}");
        assert!(!source.is_closed());
    }
}

#[test]
fn nobody_may_be_in_the_way_of_who_waits_alone() {
    let source = source();
    let mut operation = Operation::new(Read);
    assert!(source.is_free(&operation));
    source.side(Read).waiting.set(1);
    assert!(!source.is_free(&operation) && source.is_free(&Operation::new(Write)));
    source.side(Read).waiting.set(0);
    operation.scope = Some(Id { index: 0, generation: NonZeroU32::MIN });
    assert!(!source.is_free(&operation));
    operation.scope = None;
    source.close(1);
    assert!(!source.is_free(&operation));
}

#[test]
fn what_moved_proves_no_more_than_it_does() {
    let both = Readiness::READABLE | Readiness::WRITABLE;
    let after = |direction, trusted: bool, more: Readiness, drained| {
        let source = source();
        source.short_reads_drain.set(trusted);
        source.latch(both);
        source.latch(more | Readiness::READABLE);
        assert_eq!(source.readiness.get(), both | more, "what is known stays known");
        source.moved(direction, 1, 10, drained);
        source.readiness.get()
    };
    let none = Readiness::NONE;
    assert_eq!(after(Read, true, none, true), Readiness::WRITABLE);
    assert_eq!(after(Read, true, none, false), both, "it filled the buffer");
    assert_eq!(after(Read, false, none, true), both, "a short read proves nothing here");
    let ended = Readiness::READ_CLOSED;
    assert_eq!(after(Read, true, ended, true), both | ended, "the end is still to be read");
    assert_eq!(after(Write, false, none, true), Readiness::READABLE, "a short write has filled it");
    assert_eq!(after(Write, false, none, false), both);
}

#[test]
fn what_a_side_has_had_of_a_turn_is_booked() {
    let source = source();
    let budget = crate::budget::Budget::default();
    let most = u32::from(budget.operations);
    for _ in 1..most {
        source.moved(Read, 3, 1, false);
    }
    assert!(!source.had_its_share(Read, 3, &budget));
    source.moved(Read, 3, 1, false);
    assert!(source.had_its_share(Read, 3, &budget) && !source.had_its_share(Read, 4, &budget));
    assert!(!source.had_its_share(Write, 3, &budget));
}

#[test]
fn an_entry_is_filed_for_the_earlier_wish_and_no_later_than_any_allows() {
    let mut timers = Timers::new(S, Tick::default());
    let source = source();
    let index = 7;
    assert!(!source.is_filed() && !source.want(Read, NEVER, index, S, &mut timers));
    assert_eq!(timers.len(), 0, "no wish, no entry");
    assert!(source.want(Read, 5 * S, index, S, &mut timers) && source.is_filed());
    assert_eq!(source.entry_fires_by(), 5 * S + 1_000_000);
    // A wish of exactly what the entry will do moves nothing, and one of a nanosecond less does.
    assert!(!source.want(Read, 5 * S + 1_000_000, index, S, &mut timers));
    let near = 5 * S - 90_000_000;
    assert!(!source.want(Read, 5 * S + 900_000, index, near, &mut timers), "its leeway reaches as far");
    assert!(source.want(Read, 5 * S + 899_999, index, near, &mut timers));
    source.unfile(index, &mut timers);
    assert!(!source.is_filed() && timers.len() == 0 && timers.next_deadline().is_none());

    // The narrower leeway counts, of whichever side that has a wish.
    source.side(Write).leeway.set(Leeway::NONE);
    assert!(source.want(Read, 5 * S, index, S, &mut timers));
    assert_eq!(timers.alarm().map(|alarm| alarm.at_ns), Some(5 * S + 1_000_000));
    assert!(source.want(Write, 5 * S, index, S, &mut timers));
    assert_eq!(timers.alarm().map(|alarm| (alarm.at_ns, alarm.exact)), Some((5 * S, true)));
    assert_eq!(timers.len(), 1);
    assert!(timers.advance(5 * S, 10));
    assert_eq!(timers.pop(), Some((5 * S, Due::Source(index))));
    source.entry_fired();
    assert!(!source.is_filed());
    [Read, Write].into_iter().for_each(|side| source.fired(side, Elapsed::default()));
    source.unfile(index, &mut timers);
    assert!(source.want(Write, 6 * S, index, 5 * S, &mut timers), "the next one is filed anew");
    assert_eq!((timers.len(), timers.next_deadline()), (1, Some(6 * S)));
}

#[test]
fn sides_that_wait_for_the_kernel_are_counted() {
    let source = source();
    assert_eq!(source.sides_waiting_for_the_kernel(), 0);
    source.side(Read).waiting.set(2);
    assert_eq!(source.sides_waiting_for_the_kernel(), 1);
    source.side(Write).waiting.set(1);
    assert_eq!(source.sides_waiting_for_the_kernel(), 2);
    source.in_memory.set(true);
    assert_eq!(source.sides_waiting_for_the_kernel(), 0);
}

#[test]
fn those_are_woken_whose_side_is_ready_and_no_others() {
    let [readable, writable] = [Readiness::READABLE, Readiness::WRITABLE];
    let both = readable | writable;
    let crowd = |read: u32, write: u32| {
        let source = source();
        (0..read).for_each(|n| waits(&source, Read, n));
        (0..write).for_each(|n| waits(&source, Write, 10 + n));
        source
    };
    let left = |source: &Source| [Read, Write].map(|direction| source.side(direction).notes().len());
    let taken = crowd(2, 1);
    assert_eq!((count(&taken.take_waiters_for(readable)), left(&taken)), (2, [0, 1]));
    let taken = crowd(2, 1);
    assert_eq!((count(&taken.take_waiters_for(writable)), left(&taken)), (1, [2, 0]));
    assert_eq!((count(&taken.take_waiters()), left(&taken)), (2, [0, 0]));
    assert_eq!(count(&crowd(2, 1).take_waiters()), 3);

    let woken = |ready, source: &Source| match source.take_woken(ready) {
        Woken::Nobody => 0,
        Woken::One(_) => 1,
        Woken::All(all) => count(&all),
    };
    for (read, write, ready, expected, stay) in [
        (0, 0, both, 0, [0, 0]),
        (1, 1, readable, 1, [0, 1]),
        (1, 1, writable, 1, [1, 0]),
        (1, 2, both, 3, [0, 0]),
        (1, 0, both, 1, [0, 0]),
        (0, 2, both, 2, [0, 0]),
        (0, 2, readable, 0, [0, 2]),
    ] {
        let source = crowd(read, write);
        assert_eq!((woken(ready, &source), left(&source)), (expected, stay), "{read} {write} {ready:?}");
    }
    // A lone task is queued on the spot; whoever is not alone is left to be taken out.
    for (read, write, ready, names, all) in [
        (1, 0, readable, &[0][..], true),
        (1, 0, writable, &[], true),
        (1, 1, both, &[10, 0], true),
        (1, 1, readable, &[0], true),
        (1, 1, writable, &[10], true),
        (2, 1, both, &[10], false),
        (1, 2, both, &[0], false),
        (0, 2, readable, &[], true),
        (2, 0, writable, &[], true),
    ] {
        let source = crowd(read, write);
        let mut queued = Vec::new();
        let nobody_else = source.wake_lone_tasks(ready, &mut |task: Id| queued.push(task.index));
        assert_eq!((queued, nobody_else), (names.to_vec(), all), "{read} {write} {ready:?}");
    }
}

#[test]
fn who_waits_alone_is_told_what_its_side_keeps_of_it() {
    let source = source();
    let side = source.side(Read);
    side.lone.times.set(Times { own_ns: 7, ..Times::default() });
    let mut operation = Operation::new(Read);
    for alone in [false, true] {
        operation.alone = alone;
        assert_eq!(operation.times(side).own_ns == 7, alone);
    }
}

#[test]
fn a_side_is_to_be_told_by_the_earliest_end_of_those_who_still_wait() {
    let source = source();
    let side = source.side(Read);
    assert_eq!(side.own(), NEVER);
    let beside = |index: u32, until_ns: u64, only: bool| {
        let task = Id { index, generation: NonZeroU32::MIN };
        let poller = Poller { task, frame: Frame::default() };
        let note = Note { since_ns: 0, until_ns, poller, scope: None };
        assert!(side.others_mut().borrow_mut().set(index, Wakeup::Task(task), note).is_none());
        side.other_has_until(until_ns, only);
    };
    side.lone.times.set(Times { own_ns: 7, ..Times::default() });
    beside(1, 5, false);
    beside(2, 9, false);
    assert_eq!(side.own(), 5);
    assert!(side.left_by_other(1).is_some());
    assert_eq!(side.own(), 7, "what has left bounds nothing");
    side.lone.has_no_end();
    assert_eq!(side.own(), 9);
    assert!(side.left_by_other(2).is_some() && side.left_by_other(2).is_none());
    assert_eq!(side.own(), NEVER);
    beside(3, 11, false);
    beside(4, 13, true);
    assert_eq!(side.own(), 13, "those before it wait no longer");
}

#[test]
fn who_waits_alone_is_to_be_woken_until_that_was_done_or_it_has_left() {
    let lone = &source().read.lone;
    let poller = Poller { task: Id { index: 3, generation: NonZeroU32::MIN }, frame: Frame::default() };
    assert!(!lone.is_to_be_woken() && lone.note().is_none() && lone.take().is_none());
    lone.wakes(poller);
    lone.times.set(Times { begun_at_ns: 5, own_ns: 7, ..Times::default() });
    let note = lone.note().expect("it waits");
    assert_eq!((note.poller.task.index, note.since_ns, note.until_ns), (3, 5, 7));
    assert!(lone.is_to_be_woken() && lone.take() == Some(poller.task));
    assert!(!lone.is_to_be_woken() && lone.note().is_none());
    lone.wakes(poller);
    lone.forget();
    assert!(!lone.is_to_be_woken() && lone.take().is_none());
    lone.has_no_end();
    let Times { begun_at_ns, own_ns, .. } = lone.times.get();
    assert_eq!((begun_at_ns, own_ns), (5, NEVER));
}

#[test]
fn where_it_is_said_to_wait_that_is_of_no_scope_is_told() {
    let source = source();
    let scope = Some(Id { index: 3, generation: NonZeroU32::MIN });
    assert_eq!(source.home(), None);
    for home in [scope, None] {
        source.set_home(home);
        assert_eq!(source.home(), home);
    }
}

#[test]
fn an_entry_that_is_as_good_as_never_is_told_from_none() {
    let mut timers = Timers::new(S, Tick::default());
    let source = source();
    source.side(Read).wanted.set(NEVER - 1_000_000);
    source.file(7, S, &mut timers);
    assert!(source.is_filed() && timers.len() == 1);
    source.unfile(7, &mut timers);
    assert!(!source.is_filed() && timers.len() == 0, "it was left behind");
}

/// Each connection has one, whether it says anything or not.
#[cfg(target_pointer_width = "64")]
#[test]
fn what_is_kept_of_a_connection_is_no_more_than_it_was() {
    assert_eq!(size_of::<Side>(), 104);
    // With the counts of its `Rc` and the header of the allocator it is a block of 208.
    assert_eq!(size_of::<Source>(), 184);
    assert_eq!(size_of::<Option<KeptSubject>>(), 24);
    assert_eq!(size_of::<Operation>(), 32);
    assert_eq!(size_of::<crate::registered::Registered>(), 32);
    assert_eq!(size_of::<crate::Registration<mio::unix::SourceFd<'static>>>(), 56);
}
