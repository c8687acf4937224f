//! Connections come and go, and their descriptors are used again at once: what was meant for one reaches no other.

use std::net::SocketAddr;
use std::time::Instant;

use punctual::net::TcpListener;
use punctual::{Unbounded, scope, sleep};

use crate::pattern;
use crate::world::{PATIENCE, World};

pub(super) async fn run(world: World) {
    let Some(listener) = world.listener() else { return };
    let address = listener.local_addr().expect("an address");
    let over = scope("churn", Unbounded, async |scope| {
        let serving = world.clone();
        let server = scope.spawn(async move { serve(serving, listener).await });
        let clients: Vec<_> = (0..2 + world.below(3))
            .map(|_| {
                let world = world.clone();
                scope.spawn(async move {
                    for _ in 0..1 + world.below(5) {
                        visit(&world, address).await;
                    }
                })
            })
            .collect();
        for client in clients {
            world.joined(client.await);
        }
        server.abort();
        let _ = server.await;
    })
    .await;
    world.over(over);
}

/// Sends each client, that says who it is, its own bytes.
async fn serve(world: World, listener: TcpListener) {
    let over = scope("server", Unbounded, async |scope| {
        loop {
            let Some((stream, _)) = world.within(PATIENCE, listener.accept()).await else { return };
            let world = world.clone();
            scope.spawn(async move {
                let mut id = [0; 8];
                let budget = world.budget();
                let deadline = Instant::now() + budget;
                world.ended(stream.set_deadline(Some(punctual::Instant::now() + budget)))?;
                world.unless_gone(deadline, stream.read_exact(&mut id)).await?;
                let bytes = pattern::bytes(u64::from_be_bytes(id), 0, 500);
                world.unless_gone(deadline, stream.write_all(&bytes)).await
            });
        }
    })
    .await;
    world.over(over);
}

/// Comes, reads some or all of it, and goes: in order, with a reset, or in the midst of a wait.
async fn visit(world: &World, address: SocketAddr) -> Option<()> {
    let budget = world.budget();
    let stream = world.connect(address, budget).await?;
    let id = world.new_id();
    let budget = world.budget();
    world.ended(stream.set_timeout(Some(budget)))?;
    world.within(budget, stream.write_all(&id.to_be_bytes())).await?;
    let mut bytes = vec![0; world.one_of(&[1, 100, 500])];
    match world.below(4) {
        0 => sleep(world.pause()).await,
        1 => {
            let read = stream.read(&mut bytes);
            if let Ok(result) = punctual::timeout(world.pause(), read).await {
                let read = world.ended(result)?;
                pattern::check(id, 0, &bytes[..read]);
            }
        }
        2 => {
            world.ended(stream.set_linger(Some(std::time::Duration::ZERO)))?;
            world.within(budget, stream.read_exact(&mut bytes)).await?;
            pattern::check(id, 0, &bytes);
        }
        _ => {
            world.within(budget, stream.read_exact(&mut bytes)).await?;
            pattern::check(id, 0, &bytes);
            stream.close();
        }
    }
    Some(())
}
