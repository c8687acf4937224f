//! glommio, on io_uring. The deadline of a read is of the connection, as it has it.

use std::io;
use std::rc::Rc;

use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, spawn_local};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps};

pub(crate) const PEER: Peer = Peer {
    name: "glommio",
    bounds: &[NONE, "set_read_timeout"],
    sleeps: &["sleep"],
    echo,
    sleep,
    crowds: &["sleep"],
    crowd,
    // Each accept takes milliseconds from some 12 000 connections on.
    has_room: false,
    dials: &["connect_timeout"],
    dial,
    ..Peer::IDLER
};

/// The process is tied to its core already.
fn executor() -> LocalExecutor {
    LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .expect("io_uring, and memory that may be locked")
}

fn echo(variant: &str, ends: Ends) {
    let limit = (variant != NONE).then_some(IDLE);
    let served: io::Result<()> = executor().run(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listening(listener.local_addr()?);
        loop {
            let stream = listener.accept().await?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(limit)?;
            let ends = ends.clone();
            let task = spawn_local(async move {
                let _ = answer(stream).await;
                ends.one();
            });
            task.detach();
        }
    });
    served.expect("an echo");
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

fn sleep(_: &str, mut sleeps: Sleeps) {
    executor().run(async {
        while let Some(duration) = sleeps.begin() {
            glommio::timer::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}

fn crowd(_: &str, crowd: Crowd) {
    executor().run(async {
        let tasks: Vec<_> = crowd.sleepers().map(|one| spawn_local(sleeping(one)).detach()).collect();
        for task in tasks {
            task.await;
        }
        crowd.tell();
    });
}

async fn sleeping(mut sleeper: Sleeper) {
    while let Some(duration) = sleeper.begin() {
        glommio::timer::sleep(duration).await;
        sleeper.woke();
    }
}

fn dial(_: &str, dials: Dials) {
    executor().run(async {
        let dials = Rc::new(dials);
        for _ in dials.rounds() {
            let connects: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let dials = Rc::clone(&dials);
                    let connect = async move {
                        let dial = dials.begin();
                        if TcpStream::connect_timeout(dials.to, TIMEOUT).await.is_err() {
                            dial.timed_out();
                        }
                    };
                    spawn_local(connect).detach()
                })
                .collect();
            for connect in connects {
                connect.await;
            }
        }
        Rc::into_inner(dials).expect("the dials are over").tell();
    });
}
