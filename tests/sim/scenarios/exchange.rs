//! Streams both ways at once: what comes back is what was sent, as far as it came.

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use punctual::net::{TcpListener, TcpStream};
use punctual::{Unbounded, scope, yield_now};

use crate::pattern;
use crate::world::{PATIENCE, World};

pub(super) async fn run(world: World) {
    let Some(listener) = world.listener() else { return };
    let address = listener.local_addr().expect("an address");
    let over = scope("exchange", Unbounded, async |scope| {
        let serving = world.clone();
        let server = scope.spawn(async move { serve(serving, listener).await });
        let clients: Vec<_> = (0..=world.below(3))
            .map(|_| {
                let world = world.clone();
                scope.spawn(async move { client(world, address).await })
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

/// Echoes each connection in a task of its own, until it is aborted.
async fn serve(world: World, listener: TcpListener) {
    let over = scope("server", Unbounded, async |scope| {
        loop {
            let Some((stream, _)) = world.within(PATIENCE, listener.accept()).await else { return };
            let world = world.clone();
            scope.spawn(async move { echo(&world, &stream).await });
        }
    })
    .await;
    world.over(over);
}

async fn echo(world: &World, stream: &TcpStream) -> Option<()> {
    let mut buffer = vec![0; 1 + world.below(3_000) as usize];
    loop {
        let budget = world.budget();
        world.ended(stream.set_timeout(Some(budget)))?;
        let read = world.within(budget, stream.read(&mut buffer)).await?;
        if read == 0 {
            return world.ended(stream.shutdown(Shutdown::Write));
        }
        // Of a write in several parts each has the timeout.
        world.within(budget, stream.write_all(&buffer[..read])).await?;
    }
}

async fn client(world: World, address: SocketAddr) -> Option<()> {
    let budget = world.budget();
    let stream = Rc::new(world.connect(address, budget).await?);
    let id = world.new_id();
    let length = world.below(world.one_of(&[1, 100, 6_000, 30_000]));
    let over = scope("client", Unbounded, async |scope| {
        let (writing, writer) = (world.clone(), stream.clone());
        let written = scope.spawn(async move { write(&writing, &writer, id, length).await });
        let read = read(&world, &stream, id, length).await;
        if read.is_none() {
            written.abort();
        }
        (written.await.unwrap_or(0), read)
    })
    .await;
    let (written, read) = world.over(over)?;
    let read = read?;
    assert!(read <= length, "no more comes back than was sent");
    if world.is_harmless() {
        assert_eq!((written, read), (length, length), "everything has come");
    }
    Some(())
}

/// Returns how many bytes were taken.
async fn write(world: &World, stream: &TcpStream, id: u64, length: u64) -> u64 {
    let mut written = 0;
    while written < length {
        let part = (1 + world.below(4_000)).min(length - written);
        let bytes = pattern::bytes(id, written, part as usize);
        let budget = world.budget();
        if world.ended(stream.set_write_timeout(Some(budget))).is_none() {
            return written;
        }
        let Some(taken) = world.within(budget, stream.write(&bytes)).await else { return written };
        written += taken as u64;
        if world.once_in(3) {
            yield_now().await;
        }
    }
    world.ended(stream.shutdown(Shutdown::Write));
    written
}

/// Returns how many bytes came before the end.
async fn read(world: &World, stream: &TcpStream, id: u64, length: u64) -> Option<u64> {
    let mut buffer = vec![0; 1 + world.below(5_000) as usize];
    let mut offset = 0;
    loop {
        let budget = world.budget();
        world.ended(stream.set_read_timeout(Some(budget)))?;
        let read = world.within(budget, stream.read(&mut buffer)).await?;
        if read == 0 {
            return Some(offset);
        }
        pattern::check(id, offset, &buffer[..read]);
        offset += read as u64;
        assert!(offset <= length, "more comes back than was sent");
    }
}
