//! Sleeps, timeouts and intervals, at random times, dropped and moved; and a loop that is held up between them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use punctual::{Unbounded, interval, scope, sleep, sleep_until, timeout};

use crate::world::World;

pub(super) async fn run(world: World) {
    let over = scope("timers", Unbounded, async |scope| {
        let sleepers: Vec<_> = (0..1 + world.below(8))
            .map(|_| {
                let world = world.clone();
                scope.spawn(async move { sleeper(&world).await })
            })
            .collect();
        for sleeper in sleepers {
            world.joined(sleeper.await);
        }
    })
    .await;
    world.over(over);
}

fn time(world: &World) -> Duration {
    let widest: u64 = match world.is_simulated() {
        true => world.one_of(&[2_000, 1_000_000, 60_000_000_000, 4_000_000_000_000_000]),
        false => 3_000_000,
    };
    Duration::from_nanos(world.below(widest))
}

async fn sleeper(world: &World) {
    let began = Instant::now();
    let wanted = time(world);
    match world.below(5) {
        0 => sleep(wanted).await,
        1 => {
            let mut sleep = Box::pin(sleep(time(world)));
            // The clock is read anew: the new deadline is not before the old moment.
            sleep.as_mut().reset(punctual::Instant::now() + wanted);
            sleep.await;
        }
        2 => {
            let fired = timeout(wanted, std::future::pending::<()>()).await.expect_err("pending");
            assert!(fired.firing().fired >= fired.deadline());
        }
        3 => {
            let period = wanted + Duration::from_nanos(1);
            let mut ticks = interval(period);
            for number in 0..3_u32 {
                ticks.tick().await;
                let least = period * number;
                assert!(began.elapsed() >= least, "tick {number} early: {:?}", began.elapsed());
                if world.is_simulated() && world.once_in(3) {
                    world.network().busy((time(world) / 1_000).min(Duration::from_millis(20)));
                }
            }
            return;
        }
        _ => {
            let dropped = Rc::new(Cell::new(false));
            let at = punctual::Instant::now() + time(world);
            let guarded = timeout(wanted, sleep_until(at)).await;
            dropped.set(guarded.is_err());
            if guarded.is_ok() {
                return;
            }
        }
    }
    assert!(began.elapsed() >= wanted, "early: {:?} of {wanted:?}", began.elapsed());
    if world.is_simulated() && world.once_in(4) {
        world.network().busy(Duration::from_millis(world.below(20)));
    }
}
