//! The exchange over TLS, with all that a handshake can meet.

use std::time::Instant;

use punctual::net::TcpStream;
use punctual::tls::{Acceptor, Connector};
use punctual::{Unbounded, scope};

use crate::certificates::{Ends, ends};
use crate::pattern;
use crate::world::{PATIENCE, World};

pub(super) async fn run(world: World) {
    let Some(listener) = world.listener() else { return };
    let address = listener.local_addr().expect("an address");
    let Ends { acceptor, connector } = ends();
    let length = world.one_of(&[10, 3_000, 20_000]);
    let id = world.new_id();
    let over = scope("tls", Unbounded, async |scope| {
        let serving = world.clone();
        let server = scope.spawn(async move {
            // One that is aborted before it is accepted is not told of: the client gives up.
            let (stream, _) = serving.within(PATIENCE, listener.accept()).await?;
            serve(&serving, &acceptor, stream, id, length).await
        });
        let budget = world.budget();
        let stream = world.connect(address, budget).await;
        let read = match stream {
            Some(stream) => client(&world, &connector, stream, id).await,
            None => None,
        };
        if read.is_none() {
            server.abort();
        }
        let _ = server.await;
        read
    })
    .await;
    let read = world.over(over).flatten();
    if world.is_harmless() {
        assert!(read.is_none_or(|read| read == length), "{read:?} of {length} bytes");
    }
}

async fn serve(
    world: &World,
    acceptor: &Acceptor,
    stream: TcpStream,
    id: u64,
    length: u64,
) -> Option<()> {
    let budget = world.budget();
    let stream = world.within(budget, acceptor.accept(stream).timeout(budget).run()).await?;
    let mut written = 0;
    while written < length {
        let part = (1 + world.below(9_000)).min(length - written);
        let budget = world.budget();
        world.ended(stream.set_write_timeout(Some(budget)))?;
        let bytes = pattern::bytes(id, written, part as usize);
        world.within(budget, stream.write_all(&bytes)).await?;
        written += part;
    }
    let budget = world.budget();
    let deadline = Instant::now() + budget;
    world.ended(stream.set_timeout(None))?;
    world.ended(stream.set_deadline(Some(punctual::Instant::now() + budget)))?;
    world.by(deadline, stream.shutdown()).await?;
    // The client ends when it has everything.
    world.by(deadline, stream.read(&mut [0; 1])).await.map(drop)
}

async fn client(world: &World, connector: &Connector, stream: TcpStream, id: u64) -> Option<u64> {
    let budget = world.budget();
    let shaking = connector.connect(stream, "localhost").timeout(budget);
    let stream = world.within(budget, shaking.run()).await?;
    let mut buffer = vec![0; 1 + world.below(5_000) as usize];
    let mut offset = 0;
    loop {
        let budget = world.budget();
        world.ended(stream.set_read_timeout(Some(budget)))?;
        let read = world.within(budget, stream.read(&mut buffer)).await?;
        if read == 0 {
            let budget = world.budget();
            world.ended(stream.set_write_timeout(Some(budget)))?;
            world.within(budget, stream.shutdown()).await?;
            return Some(offset);
        }
        pattern::check(id, offset, &buffer[..read]);
        offset += read as u64;
    }
}
