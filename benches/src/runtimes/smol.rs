//! smol: its local executor on async-io.

use std::io;
use std::rc::Rc;

use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Timer};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::drift::Sleeps;

pub(crate) const PEER: Peer =
    Peer { name: "smol", bounds: &[NONE, "or timer"], sleeps: &["timer"], echo, sleep };

fn echo(variant: &str, ends: Ends) {
    let bounded = variant != NONE;
    let executor = Rc::new(LocalExecutor::new());
    let served: io::Result<()> = smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let ends = ends.clone();
            let task = executor.spawn(async move {
                let _ = answer(stream, bounded).await;
                ends.one();
            });
            task.detach();
        }
    }));
    served.expect("an echo");
}

async fn answer(mut stream: TcpStream, bounded: bool) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = match bounded {
            true => stream.read(&mut buffer).or(elapsed()).await?,
            false => stream.read(&mut buffer).await?,
        };
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

async fn elapsed() -> io::Result<usize> {
    Timer::after(IDLE).await;
    Err(io::ErrorKind::TimedOut.into())
}

fn sleep(_: &str, number: u64) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let mut sleeps = Sleeps::new(number);
        while let Some(duration) = sleeps.begin() {
            Timer::after(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    }));
}
