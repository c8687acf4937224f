//! The inbox is bounded, and what is sent to it is never nowhere.

use super::world::{Arc, Exchange, Item, Outcome, Sender, World, thread};
use crate::room::NoRoom;
use crate::sync::{AtomicBool, Ordering};

#[test]
fn w05_what_is_not_refused_arrives_and_never_is_more_queued_than_there_is_room_for() {
    loom::model(|| {
        let world = World::new(1);
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.send(Item::Message))
            })
            .collect();
        // Beside them, and not in a turn: a place becomes free while they look for one.
        let mut received = usize::from(world.take().is_some());
        let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        assert!(world.room.depth() <= 1, "{} are queued", world.room.depth());
        received += std::iter::from_fn(|| world.take()).count();
        assert_eq!(received, sent.iter().filter(|sent| sent.is_ok()).count());
        assert!(sent.iter().all(|sent| !matches!(sent, Err(NoRoom::Closed))));
        assert_eq!((world.room.depth(), received > 0), (0, true));
    });
}

#[test]
fn k14_who_joins_a_task_is_told_whether_the_loop_takes_it_or_goes() {
    loom::model(|| {
        let world = World::new(1);
        let remote = world.clone();
        let joins = thread::spawn(move || {
            let exchange = Arc::new(Exchange::default());
            let sent = remote.send(Item::Join(Sender(exchange.clone())));
            (sent.is_ok(), exchange.join())
        });
        let mut ran = false;
        if let Some(Item::Join(sender)) = world.take() {
            sender.0.complete(Outcome::Ran);
            ran = true;
        }
        world.close();
        let (sent, outcome) = joins.join().unwrap();
        assert_eq!(outcome, if ran { Outcome::Ran } else { Outcome::Aborted });
        assert!(sent || !ran);
    });
}

/// As the drop of a `SendFuture` on another thread, which is told whatever room there is.
#[test]
fn k14_what_is_told_beyond_the_room_is_dropped_once_however_the_loop_ends() {
    loom::model(|| {
        let world = World::new(0);
        let (remote, exchange) = (world.clone(), Arc::new(Exchange::default()));
        let sender = Sender(exchange.clone());
        let tells = thread::spawn(move || {
            remote.room.take_beyond();
            let _ = remote.put(Item::Join(sender));
        });
        world.close();
        tells.join().unwrap();
        assert_eq!(exchange.join(), Outcome::Aborted);
    });
}

#[test]
fn k14_after_the_end_a_full_inbox_is_closed_and_not_full() {
    loom::model(|| {
        let world = World::new(1);
        world.send(Item::Message).expect("there is room");
        let ended = Arc::new(AtomicBool::new(false));
        let (remote, has_ended) = (world.clone(), ended.clone());
        let sender = thread::spawn(move || {
            let late = has_ended.load(Ordering::Acquire);
            (late, remote.send(Item::Message))
        });
        world.close();
        ended.store(true, Ordering::Release);
        let (late, sent) = sender.join().unwrap();
        assert!(!late || sent == Err(NoRoom::Closed), "{sent:?}");
        assert!(sent.is_err());
    });
}
