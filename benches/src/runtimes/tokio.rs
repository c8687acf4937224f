//! tokio, its current-thread runtime.

use std::io;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until, timeout};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::drift::Sleeps;

pub(crate) const PEER: Peer =
    Peer { name: "tokio", bounds: &[NONE, "timeout", "reset"], sleeps: &["sleep"], echo, sleep };

fn echo(variant: &str, ends: Ends) {
    let variant = variant.to_owned();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let served: io::Result<()> = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (ends, variant) = (ends.clone(), variant.clone());
            tokio::spawn(async move {
                let _ = match variant.as_str() {
                    NONE => answer(stream).await,
                    "reset" => answer_resetting(stream).await,
                    _ => answer_in_time(stream).await,
                };
                ends.one();
            });
        }
    });
    served.expect("an echo");
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// As its documentation shows it.
async fn answer_in_time(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match timeout(IDLE, stream.read(&mut buffer)).await?? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// The cheaper way: one sleep for the connection, moved by each message.
async fn answer_resetting(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut idle = pin!(sleep_until(Instant::now() + IDLE));
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read(&mut buffer) => read?,
            () = &mut idle => return Err(io::ErrorKind::TimedOut.into()),
        };
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
        idle.as_mut().reset(Instant::now() + IDLE);
    }
}

fn sleep(_: &str, number: u64) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut sleeps = Sleeps::new(number);
        while let Some(duration) = sleeps.begin() {
            tokio::time::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}
