//! monoio, on epoll and on io_uring.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::{IDLE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::drift::Sleeps;

pub(crate) const PEER: Peer = Peer {
    name: "monoio",
    bounds: &["epoll, no deadline", "epoll, timeout", "io_uring, no deadline", "io_uring, timeout"],
    sleeps: &["epoll", "io_uring"],
    echo,
    sleep,
};

fn echo(variant: &str, ends: Ends) {
    let bounded = variant.ends_with("timeout");
    let served = if variant.starts_with("epoll") {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(serve(bounded, ends))
    } else {
        let runtime = RuntimeBuilder::<IoUringDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(serve(bounded, ends))
    };
    served.expect("an echo");
}

async fn serve(bounded: bool, ends: Ends) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let ends = ends.clone();
        monoio::spawn(async move {
            let _ = answer(stream, bounded).await;
            ends.one();
        });
    }
}

async fn answer(mut stream: TcpStream, bounded: bool) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let (read, back) = match bounded {
            true => timeout(IDLE, stream.read(buffer)).await?,
            false => stream.read(buffer).await,
        };
        let read = read?;
        if read == 0 {
            return Ok(());
        }
        let slice = monoio::buf::IoBuf::slice(back, 0..read);
        let (written, slice) = stream.write_all(slice).await;
        written?;
        buffer = slice.into_inner();
    }
}

fn sleep(variant: &str, number: u64) {
    if variant == "epoll" {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(sleeping(number));
    } else {
        let runtime = RuntimeBuilder::<IoUringDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(sleeping(number));
    }
}

async fn sleeping(number: u64) {
    let mut sleeps = Sleeps::new(number);
    while let Some(duration) = sleeps.begin() {
        monoio::time::sleep(duration).await;
        sleeps.woke();
    }
    sleeps.tell();
}
