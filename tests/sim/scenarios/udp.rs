//! Datagrams to an echo: each that comes back is one that was sent, whole.

use std::time::Duration;

use punctual::net::UdpSocket;
use punctual::{Unbounded, scope};

use crate::pattern;
use crate::world::World;

pub(super) async fn run(world: World) {
    let address = |last: u8| match world.is_simulated() {
        true => format!("10.0.2.{last}:0"),
        false => "127.0.0.1:0".to_owned(),
    };
    let Some(server) = world.ended(UdpSocket::bind(&*address(1))) else { return };
    let Some(client) = world.ended(UdpSocket::bind(&*address(2))) else { return };
    let to = server.local_addr().expect("an address");
    let over = scope("udp", Unbounded, async |scope| {
        let serving = world.clone();
        let echo = scope.spawn(async move {
            let mut buffer = [0; 2_000];
            loop {
                let datagram = serving.ended(server.recv_from(&mut buffer).await)?;
                serving.ended(server.send_to(&buffer[..datagram.len], datagram.from).await)?;
            }
        });
        ask(&world, &client, to).await;
        echo.abort();
        let _: Result<Option<()>, _> = echo.await;
    })
    .await;
    world.over(over);
}

async fn ask(world: &World, client: &UdpSocket, to: std::net::SocketAddr) -> Option<()> {
    world.ended(client.connect(to))?;
    let mut buffer = [0; 2_000];
    for number in 0..4_u8 {
        let mut payload = pattern::bytes(number.into(), 0, 1 + world.below(1_000) as usize);
        payload[0] = number;
        world.ended(client.send(&payload).await)?;
        // It may be lost; but it is waited for, and nothing else comes.
        let longest = if world.is_simulated() { 1_000_000 } else { 5_000 };
        let budget = Duration::from_micros(world.below(longest));
        world.ended(client.set_read_timeout(Some(budget)))?;
        let began = std::time::Instant::now();
        match client.recv(&mut buffer).await {
            Ok(length) => {
                let seen = &buffer[..length];
                assert!(seen[0] <= number, "one that was sent");
                pattern::check(seen[0].into(), 1, &seen[1..]);
            }
            Err(error) if error.is_timeout() => assert!(began.elapsed() >= budget, "early"),
            Err(error) => world.check(&error),
        }
    }
    Some(())
}
