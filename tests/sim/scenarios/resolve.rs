//! Names, by servers of which some are slow, silent or not there; then a connect to what they say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punctual::net::{Connect, Kind, Resolver};
use punctual::test::Script;
use punctual::{Unbounded, scope, timeout};

use crate::pattern;
use crate::world::{PATIENCE, World};

pub(super) async fn run(world: World) {
    let id = world.new_id();
    let peer = world.peer(Script::new().send(pattern::bytes(id, 0, 10)).close_write().discard());
    let servers = servers(&world, peer.ip());
    let resolver = Resolver::builder()
        .servers(servers)
        .search([""; 0])
        .hosts_file("/dev/null/none")
        .resolv_conf("/dev/null/none")
        .nsswitch_conf("/dev/null/none")
        .build();
    let over = scope("resolve", Unbounded, async |scope| {
        let askers: Vec<_> = (0..=world.below(3))
            .map(|_| {
                let (world, resolver) = (world.clone(), resolver.clone());
                scope.spawn(async move { ask(&world, &resolver, peer, id).await })
            })
            .collect();
        for asker in askers {
            world.joined(asker.await);
        }
    })
    .await;
    world.over(over);
}

/// One that answers, maybe after others that do not.
fn servers(world: &World, ip: IpAddr) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for _ in 0..world.below(2) {
        let silent = SocketAddr::new(world.address().ip(), 53);
        match world.below(2) {
            0 => world.network().black_hole(silent),
            _ => world.network().name_server(silent, Duration::from_secs(100), [("peer.test", ip)]),
        }
        servers.push(silent);
    }
    let answers = SocketAddr::new(world.address().ip(), 53);
    let delay = Duration::from_micros(world.below(world.one_of(&[100, 100_000])));
    let other: IpAddr = [0xfd00, 0, 0, 0, 0, 0, 0, 9].into();
    let names = [("peer.test", ip), ("peer.test", other)];
    world.network().name_server(answers, delay, names.into_iter().take(1 + world.below(2) as usize));
    servers.push(answers);
    servers
}

async fn ask(world: &World, resolver: &Resolver, peer: SocketAddr, id: u64) -> Option<()> {
    let known = !world.once_in(4);
    let name = if known { "peer.test" } else { "nobody.test" };
    let budget = if world.is_harmless() { Duration::from_secs(120) } else { world.budget() };
    let connect =
        Connect::to((name, peer.port())).resolver(resolver).timeout(budget).resolve_timeout(budget);
    let connecting = connect.connect();
    let stream = if world.once_in(4) {
        // Somebody loses interest; the others are not to notice.
        match timeout(world.pause(), connecting).await {
            Ok(result) => result,
            Err(_) => return None,
        }
    } else {
        connecting.await
    };
    match stream {
        Ok(stream) => {
            assert!(known, "there is no such name");
            let mut bytes = [0; 10];
            let budget = if world.is_harmless() { PATIENCE } else { world.budget() };
            world.ended(stream.set_read_timeout(Some(budget)))?;
            world.within(budget, stream.read_exact(&mut bytes)).await?;
            pattern::check(id, 0, &bytes);
            Some(())
        }
        Err(error) if error.kind() == Kind::Dns => {
            // Datagrams may be lost as often as they are sent.
            assert!(!known || world.network().counts().lost > 0 || !world.is_harmless(), "{error}");
            None
        }
        Err(error) if error.is_timeout() => None,
        // Nobody listens at the other address, and the answer with this one was lost.
        Err(error) if error.kind() == Kind::Kernel(111) && world.network().counts().lost > 0 => None,
        Err(error) => {
            world.check(&error);
            None
        }
    }
}
