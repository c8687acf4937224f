//! All of it at once: more threads and more steps than loom can try every order of.

use super::world::{Arc, Exchange, Item, Outcome, Sender, Task, World, thread};
use crate::room::NoRoom;
use crate::sync::Ordering;

const SENDERS: usize = 4;
const EACH: usize = 5;
const CAPACITY: usize = 3;
/// Orders that are tried, half of them at random and half by PCT (Burckhardt et al., ASPLOS 2010), which finds what
/// takes a few switches in the right places.
const ORDERS: usize = 10_000;

#[test]
fn w01_a_storm_of_messages_wakes_and_joins_ends_with_nothing_lost() {
    shuttle::check_random(storm, ORDERS);
    shuttle::check_pct(storm, ORDERS, 3);
}

/// What became of one thread's messages and joins.
#[derive(Default)]
struct Sent {
    messages: usize,
    ran: usize,
}

fn storm() {
    let world = World::new(CAPACITY);
    let task = Task::new(world.clone());
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (world, task) = (world.clone(), task.clone());
            thread::spawn(move || send(&world, &task))
        })
        .collect();
    let remote = world.clone();
    let ends = thread::spawn(move || {
        let sent: Vec<Sent> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        while remote.send(Item::Shutdown) == Err(NoRoom::Full) {
            thread::yield_now();
        }
        sent
    });
    let (mut messages, mut ran, mut seen, mut shut_down) = (0, 0, 0, false);
    while !shut_down {
        for item in world.turn() {
            match item {
                Item::Message => messages += 1,
                Item::Woken => seen = task.poll(),
                Item::Shutdown => shut_down = true,
                Item::Join(sender) => {
                    ran += 1;
                    sender.0.complete(Outcome::Ran);
                }
            }
        }
    }
    let sent = ends.join().unwrap();
    assert_eq!(messages, sent.iter().map(|sent| sent.messages).sum::<usize>());
    assert_eq!(ran, sent.iter().map(|sent| sent.ran).sum::<usize>());
    assert_eq!(seen, SENDERS * EACH, "the task has not seen what all have left");
    assert!(world.signals.load(Ordering::Relaxed) <= world.sleeps.load(Ordering::Relaxed));
    world.close();
    assert_eq!(world.send(Item::Message).err(), Some(NoRoom::Closed));
}

fn send(world: &World, task: &Task) -> Sent {
    let mut sent = Sent::default();
    for nth in 0..EACH {
        task.wake();
        if nth % 2 == 0 {
            sent.messages += usize::from(world.send(Item::Message).is_ok());
        } else {
            let exchange = Arc::new(Exchange::default());
            let _ = world.send(Item::Join(Sender(exchange.clone())));
            sent.ran += usize::from(exchange.join() == Outcome::Ran);
        }
    }
    sent
}
