//! Connects to one or several addresses, each of which may listen, refuse, be silent or out of reach.

use std::time::{Duration, Instant};

use punctual::net::{Connect, Kind};
use punctual::test::Script;

use crate::pattern;
use crate::world::{PATIENCE, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Listens,
    Refuses,
    Silent,
    OutOfReach,
}

pub(super) async fn run(world: World) {
    for _ in 0..=world.below(2) {
        dial(&world).await;
    }
}

async fn dial(world: &World) -> Option<()> {
    let id = world.new_id();
    let places: Vec<Place> = (0..=world.below(4))
        .map(|_| world.one_of(&[Place::Listens, Place::Refuses, Place::Silent, Place::OutOfReach]))
        .collect();
    let greeting = Script::new().send(pattern::bytes(id, 0, 100)).close_write().discard().close();
    let addresses: Vec<_> = places
        .iter()
        .map(|place| {
            let address = world.address();
            match place {
                Place::Listens => world.network().listen(address, greeting.clone()),
                Place::Refuses => {}
                Place::Silent => world.network().black_hole(address),
                Place::OutOfReach => world.network().unreachable(address),
            }
            address
        })
        .collect();
    // In vain for ever would be long, even in virtual time.
    let budget = if world.is_harmless() { Duration::from_secs(300) } else { world.budget() };
    let began = Instant::now();
    let result = Connect::to(addresses).timeout(budget).connect_timeout(budget).connect().await;
    if places.contains(&Place::Listens) && world.is_harmless() {
        assert!(result.is_ok(), "one of {places:?} listens: {:?}", result.err());
    }
    let stream = match result {
        Ok(stream) => stream,
        Err(error) if error.is_timeout() => {
            assert!(began.elapsed() >= budget, "early: {:?} of {budget:?}", began.elapsed());
            return None;
        }
        Err(error) if matches!(error.kind(), Kind::Kernel(_)) => return None,
        Err(error) => {
            world.check(&error);
            return None;
        }
    };
    assert!(places.contains(&Place::Listens), "nobody listens at {places:?}");
    let mut bytes = [0; 100];
    let budget = if world.is_harmless() { PATIENCE } else { world.budget() };
    world.ended(stream.set_read_deadline(Some(punctual::Instant::now() + budget)))?;
    world.within(budget, stream.read_exact(&mut bytes)).await?;
    pattern::check(id, 0, &bytes);
    Some(())
}
