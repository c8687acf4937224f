//! monoio, on epoll and on io_uring.

use std::future::Future;
use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use monoio::time::timeout;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::{IDLE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps};
use crate::workloads::idle::{BUFFER, DEADLINE};

pub(crate) const PEER: Peer = Peer {
    name: "monoio",
    bounds: &["epoll, no deadline", "epoll, timeout", "io_uring, no deadline", "io_uring, timeout"],
    sleeps: &["epoll", "io_uring"],
    echo,
    sleep,
    crowds: &["epoll", "io_uring"],
    crowd,
    hold,
    dials: &["epoll", "io_uring"],
    dial,
    ..Peer::IDLER
};

/// Runs `future` on the driver that `variant` names.
fn run<F: Future>(variant: &str, future: F) -> F::Output {
    if variant.starts_with("epoll") {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(future)
    } else {
        let runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(4096).enable_timer().build();
        runtime.expect("a runtime").block_on(future)
    }
}

fn echo(variant: &str, ends: Ends) {
    run(variant, serve(variant.ends_with("timeout"), ends)).expect("an echo");
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

fn sleep(variant: &str, mut sleeps: Sleeps) {
    run(variant, async {
        while let Some(duration) = sleeps.begin() {
            monoio::time::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}

fn crowd(variant: &str, crowd: Crowd) {
    run(variant, async {
        let tasks: Vec<_> = crowd.sleepers().map(|one| monoio::spawn(sleeping(one))).collect();
        for task in tasks {
            task.await;
        }
        crowd.tell();
    });
}

async fn sleeping(mut sleeper: Sleeper) {
    while let Some(duration) = sleeper.begin() {
        monoio::time::sleep(duration).await;
        sleeper.woke();
    }
}

fn hold(variant: &str) {
    let bounded = variant.ends_with("timeout");
    let served: io::Result<()> = run(variant, async {
        let options = ListenerOpts::new().backlog(4096);
        let listener = TcpListener::bind_with_config("127.0.0.1:0", &options)?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            drop(monoio::spawn(wait(stream, bounded)));
        }
    });
    served.expect("a listener");
}

async fn wait(mut stream: TcpStream, bounded: bool) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (read, back) = match bounded {
            true => match timeout(DEADLINE, stream.read(buffer)).await {
                Ok(read) => read,
                Err(_) => return,
            },
            false => stream.read(buffer).await,
        };
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
        buffer = back;
    }
}

fn dial(variant: &str, dials: Dials) {
    run(variant, async {
        for _ in dials.rounds() {
            let connects: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let dials = dials.clone();
                    monoio::spawn(async move {
                        let dial = dials.begin();
                        if timeout(TIMEOUT, TcpStream::connect_addr(dials.to)).await.is_err() {
                            dial.timed_out();
                        }
                    })
                })
                .collect();
            for connect in connects {
                connect.await;
            }
        }
        dials.tell();
    });
}
