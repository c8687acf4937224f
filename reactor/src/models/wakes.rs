//! No wake is lost, and a storm of them signals once a sleep.

use super::world::{Item, Task, World, thread};
use crate::sync::Ordering;

/// Three threads have too many orders: those in which a thread is stopped three times at most, where it could have
/// gone on, are enough for the mutants of the protocol.
fn check_bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(model);
}

#[test]
fn w02_no_wake_is_lost_with_two_senders() {
    check_bounded(|| {
        let world = World::new(2);
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.send(Item::Message).expect("there is room"))
            })
            .collect();
        let mut received = 0;
        while received < 2 {
            received += world.turn().len();
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn w02_a_task_woken_by_two_threads_sees_what_both_have_left() {
    check_bounded(|| {
        let task = Task::new(World::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let task = task.clone();
                thread::spawn(move || task.wake())
            })
            .collect();
        let mut seen = 0;
        while seen < 2 {
            if !task.world.turn().is_empty() {
                seen = task.poll();
            }
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}

#[test]
fn w02_a_task_woken_here_and_by_another_thread_sees_what_both_have_left() {
    check_bounded(|| {
        let task = Task::new(World::new(0));
        let woken = task.clone();
        let waker = thread::spawn(move || {
            woken.wake();
            woken.wake();
        });
        let mut queued = task.wake_here();
        let mut seen = 0;
        while seen < 3 {
            if queued || !task.world.turn().is_empty() {
                queued = false;
                seen = task.poll();
            }
        }
        waker.join().unwrap();
    });
}

#[test]
fn w02_one_sender_twice_is_seen_and_signals_at_most_once_per_sleep() {
    loom::model(|| {
        let world = World::new(2);
        let remote = world.clone();
        let sender = thread::spawn(move || {
            remote.send(Item::Message).expect("there is room");
            remote.send(Item::Message).expect("there is room");
        });
        let (mut received, mut turns) = (0, 0);
        while received < 2 {
            received += world.turn().len();
            turns += 1;
        }
        sender.join().unwrap();
        assert!(world.signals.load(Ordering::Relaxed) <= turns);
    });
}

#[test]
fn w02_no_wake_is_lost_to_a_loop_that_wakes_for_another_reason() {
    loom::model(|| {
        let world = World::new(2);
        let (kernel, remote) = (world.clone(), world.clone());
        let event = thread::spawn(move || kernel.event());
        let sender = thread::spawn(move || remote.send(Item::Message).expect("there is room"));
        while world.turn().is_empty() {}
        event.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn w03_a_shutdown_is_seen_by_a_loop_that_is_about_to_sleep() {
    check_bounded(|| {
        let world = World::new(2);
        let (one, other) = (world.clone(), world.clone());
        let sender = thread::spawn(move || one.send(Item::Message).expect("there is room"));
        let ends = thread::spawn(move || other.send(Item::Shutdown).expect("there is room"));
        let is_shutdown = |item: &Item| matches!(item, Item::Shutdown);
        while !world.turn().iter().any(is_shutdown) {}
        sender.join().unwrap();
        ends.join().unwrap();
    });
}
