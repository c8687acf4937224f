//! Deadlines that are moved while operations wait for a peer that stalls or trickles.

use std::rc::Rc;
use std::time::{Duration, Instant};

use punctual::net::TcpStream;
use punctual::test::Script;
use punctual::{Unbounded, scope, sleep};

use crate::pattern;
use crate::world::World;

pub(super) async fn run(world: World) {
    let over = scope("deadlines", Unbounded, async |scope| {
        let both: Vec<_> = (0..=world.below(2))
            .map(|_| {
                let world = world.clone();
                scope.spawn(async move { connection(&world).await })
            })
            .collect();
        for one in both {
            world.joined(one.await);
        }
    })
    .await;
    world.over(over);
}

async fn connection(world: &World) -> Option<()> {
    let id = world.new_id();
    let length = 1 + world.below(40);
    let pause = Duration::from_micros(world.below(world.one_of(&[100, 10_000, 1_000_000])));
    let script = Script::new().trickle(&pattern::bytes(id, 0, length as usize), 1, pause).stall();
    let peer = world.peer(script);
    let stream = Rc::new(world.ended(TcpStream::connect(peer).await)?);
    // Until it stalls it sends in any case.
    let offset = match world.below(3) {
        0 => moved_deadline(world, &stream, id).await?,
        1 => idle_timeout(world, &stream, id).await?,
        _ => passed_deadline(world, &stream, id).await?,
    };
    assert!(offset <= length, "it never sends more");
    Some(())
}

/// Reads until the deadline, which others move while it waits; it never fires before the last that was set.
async fn moved_deadline(world: &World, stream: &Rc<TcpStream>, id: u64) -> Option<u64> {
    let moves: Vec<(Duration, Duration)> = (0..world.below(5))
        .map(|_| (world.pause(), Duration::from_millis(world.below(3_000))))
        .collect();
    let over = scope("moved", Unbounded, async |scope| {
        let latest = Rc::new(std::cell::Cell::new(Instant::now() + Duration::from_millis(500)));
        stream.set_read_deadline(Some(punctual::Instant::now() + Duration::from_millis(500))).ok()?;
        let (moved, moving) = (latest.clone(), stream.clone());
        let mover = scope.spawn(async move {
            for (after, further) in moves {
                sleep(after).await;
                // By the test's own clock, read before.
                moved.set(Instant::now() + further);
                if moving.set_read_deadline(Some(punctual::Instant::now() + further)).is_err() {
                    return;
                }
            }
        });
        let (offset, error) = read_on(world, stream, id, || None).await;
        if error.as_ref().is_some_and(punctual::net::Error::is_timeout) {
            // One that was moved after it had fired does not unfire it; it had fired in time.
            let info = error.as_ref().and_then(|error| error.deadline()).expect("its deadline");
            assert!(info.fired() >= info.deadline(), "early");
            assert!(
                mover.is_finished() <= (Instant::now() >= latest.get()),
                "before the last that was set"
            );
        } else if let Some(error) = &error {
            world.check(error);
        }
        mover.abort();
        let _ = mover.await;
        Some(offset)
    })
    .await;
    world.over(over).flatten()
}

/// Each read has its own time, however long they all take.
async fn idle_timeout(world: &World, stream: &Rc<TcpStream>, id: u64) -> Option<u64> {
    let idle = Duration::from_micros(1 + world.below(2_000_000));
    stream.set_read_timeout(Some(idle)).ok()?;
    let began = std::cell::Cell::new(Instant::now());
    let (offset, error) = read_on(world, stream, id, || {
        began.set(Instant::now());
        None
    })
    .await;
    match error {
        Some(error) if error.is_timeout() => {
            assert!(began.get().elapsed() >= idle, "early: {:?} of {idle:?}", began.get().elapsed());
        }
        Some(error) => world.check(&error),
        None => {}
    }
    Some(offset)
}

/// An operation that begins after its deadline touches nothing, and nothing is lost by it.
async fn passed_deadline(world: &World, stream: &Rc<TcpStream>, id: u64) -> Option<u64> {
    let mut refused = 0_u32;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let (offset, error) = read_on(world, stream, id, || {
        refused += 1;
        refused.is_multiple_of(2).then_some(Duration::from_secs(1))
    })
    .await;
    if let Some(error) = error.filter(|error| !error.is_timeout()) {
        world.check(&error);
    }
    Some(offset)
}

/// Reads until something ends it. Where `before` says so, a read is tried under a deadline that passed so long ago.
async fn read_on(
    world: &World,
    stream: &TcpStream,
    id: u64,
    mut before: impl FnMut() -> Option<Duration>,
) -> (u64, Option<punctual::net::Error>) {
    let mut buffer = vec![0; 1 + world.below(10) as usize];
    let mut offset = 0;
    loop {
        if let Some(ago) = before() {
            let refused = async {
                stream.set_read_deadline(Some(punctual::Instant::now() - ago))?;
                let refused = stream.read(&mut buffer).await;
                stream.set_read_deadline(None)?;
                refused
            };
            let error = refused.await.expect_err("its deadline has passed");
            if !error.is_timeout() {
                return (offset, Some(error));
            }
            assert_eq!(error.transferred(), 0);
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return (offset, None),
            Ok(read) => {
                pattern::check(id, offset, &buffer[..read]);
                offset += read as u64;
            }
            Err(error) => return (offset, Some(error)),
        }
    }
}
