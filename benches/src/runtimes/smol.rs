//! smol: its local executor on async-io.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Timer};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening, tell};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps};
use crate::workloads::idle::{BUFFER, DEADLINE};
use crate::workloads::tasks::{
    BusyUntilWoken, CANCEL, CANCELLED, IDLE_WAKE, IDLE_WAKES, IdleUntilWoken, REMOTE_WAKE, SELF_WAKE,
    SPAWN, WakesItself, tell_each,
};

pub(crate) const PEER: Peer = Peer {
    name: "smol",
    bounds: &[NONE, "or timer"],
    sleeps: &["timer"],
    echo,
    sleep,
    crowds: &["timer"],
    crowd,
    hold,
    dials: &["or timer"],
    dial,
    has_tasks: true,
    tasks,
    busy_wakes,
    ..Peer::IDLER
};

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
            true => stream.read(&mut buffer).or(elapsed(IDLE)).await?,
            false => stream.read(&mut buffer).await?,
        };
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

async fn elapsed<T>(limit: Duration) -> io::Result<T> {
    Timer::after(limit).await;
    Err(io::ErrorKind::TimedOut.into())
}

fn sleep(_: &str, mut sleeps: Sleeps) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        while let Some(duration) = sleeps.begin() {
            Timer::after(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    }));
}

fn crowd(_: &str, crowd: Crowd) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let tasks: Vec<_> = crowd.sleepers().map(|one| executor.spawn(sleeping(one))).collect();
        for task in tasks {
            task.await;
        }
        crowd.tell();
    }));
}

async fn sleeping(mut sleeper: Sleeper) {
    while let Some(duration) = sleeper.begin() {
        Timer::after(duration).await;
        sleeper.woke();
    }
}

fn hold(variant: &str) {
    let bounded = variant != NONE;
    let executor = Rc::new(LocalExecutor::new());
    let served: io::Result<()> = smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        rustix::net::listen(&listener, 4096)?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(wait(stream, bounded)).detach();
        }
    }));
    served.expect("a listener");
}

async fn wait(mut stream: TcpStream, bounded: bool) {
    let mut buffer = Box::new([0; BUFFER]);
    loop {
        let read = match bounded {
            true => stream.read(&mut *buffer).or(elapsed(DEADLINE)).await,
            false => stream.read(&mut *buffer).await,
        };
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

fn dial(_: &str, dials: Dials) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        for _ in dials.rounds() {
            let connects: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let dials = dials.clone();
                    executor.spawn(async move {
                        let dial = dials.begin();
                        if TcpStream::connect(dials.to).or(elapsed(TIMEOUT)).await.is_err() {
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
    }));
}

fn tasks(number: u64) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let began = Instant::now();
        for _ in 0..number {
            executor.spawn(async {}).await;
        }
        tell_each(SPAWN, number, began);
        let began = Instant::now();
        executor.spawn(WakesItself(number)).await;
        tell_each(SELF_WAKE, number, began);
        tell(REMOTE_WAKE, executor.spawn(BusyUntilWoken::new(number)).await);
        tell(IDLE_WAKE, executor.spawn(IdleUntilWoken::new(IDLE_WAKES)).await);
        let sleeping: Vec<_> = (0..CANCELLED).map(|_| executor.spawn(Timer::after(DEADLINE))).collect();
        smol::future::yield_now().await;
        let began = Instant::now();
        for task in sleeping {
            task.cancel().await;
        }
        tell_each(CANCEL, CANCELLED as u64, began);
    }));
}

fn busy_wakes(number: u64) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        executor.spawn(BusyUntilWoken::new(number)).await;
    }));
}
