//! compio, on io_uring.

use std::io;

use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use compio::runtime::time::timeout;

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps};
use crate::workloads::idle::{BUFFER, DEADLINE};

pub(crate) const PEER: Peer = Peer {
    name: "compio",
    bounds: &[NONE, "timeout"],
    sleeps: &["sleep"],
    echo,
    sleep,
    crowds: &["sleep"],
    crowd,
    hold,
    dials: &["timeout"],
    dial,
    ..Peer::IDLER
};

fn echo(variant: &str, ends: Ends) {
    let bounded = variant != NONE;
    let served: io::Result<()> = Runtime::new().expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let ends = ends.clone();
            let task = compio::runtime::spawn(async move {
                let _ = answer(stream, bounded).await;
                ends.one();
            });
            task.detach();
        }
    });
    served.expect("an echo");
}

async fn answer(mut stream: TcpStream, bounded: bool) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        buffer.clear();
        let (read, back) = match bounded {
            true => timeout(IDLE, stream.read(buffer)).await.map_err(io::Error::other)?.into(),
            false => stream.read(buffer).await.into(),
        };
        let read = read?;
        if read == 0 {
            return Ok(());
        }
        let (written, slice) = stream.write_all(back.slice(..read)).await.into();
        written?;
        buffer = slice.into_inner();
    }
}

fn sleep(_: &str, mut sleeps: Sleeps) {
    Runtime::new().expect("a runtime").block_on(async {
        while let Some(duration) = sleeps.begin() {
            compio::runtime::time::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}

fn crowd(_: &str, crowd: Crowd) {
    Runtime::new().expect("a runtime").block_on(async {
        let tasks: Vec<_> = crowd.sleepers().map(|one| compio::runtime::spawn(sleeping(one))).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        crowd.tell();
    });
}

async fn sleeping(mut sleeper: Sleeper) {
    while let Some(duration) = sleeper.begin() {
        compio::runtime::time::sleep(duration).await;
        sleeper.woke();
    }
}

fn hold(variant: &str) {
    let bounded = variant != NONE;
    let served: io::Result<()> = Runtime::new().expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        rustix::net::listen(&listener, 4096)?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(wait(stream, bounded)).detach();
        }
    });
    served.expect("a listener");
}

async fn wait(mut stream: TcpStream, bounded: bool) {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        let (read, back) = match bounded {
            true => match timeout(DEADLINE, stream.read(buffer)).await {
                Ok(read) => read.into(),
                Err(_) => return,
            },
            false => stream.read(buffer).await.into(),
        };
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
        buffer = back;
    }
}

fn dial(_: &str, dials: Dials) {
    Runtime::new().expect("a runtime").block_on(async {
        for _ in dials.rounds() {
            let connects: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let dials = dials.clone();
                    compio::runtime::spawn(async move {
                        let dial = dials.begin();
                        if timeout(TIMEOUT, TcpStream::connect(dials.to)).await.is_err() {
                            dial.timed_out();
                        }
                    })
                })
                .collect();
            for connect in connects {
                connect.await.expect("no panic");
            }
        }
        dials.tell();
    });
}
