//! tokio, its current-thread runtime.

use std::io;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

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
    name: "tokio",
    bounds: &[NONE, "timeout", "reset"],
    sleeps: &["sleep"],
    echo,
    sleep,
    crowds: &["sleep"],
    crowd,
    hold,
    dials: &["timeout"],
    dial,
    has_tasks: true,
    tasks,
    busy_wakes,
    ..Peer::IDLER
};

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

fn sleep(_: &str, mut sleeps: Sleeps) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while let Some(duration) = sleeps.begin() {
            tokio::time::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}

fn crowd(_: &str, crowd: Crowd) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: JoinSet<()> = crowd.sleepers().map(sleeping).collect();
        tasks.join_all().await;
        crowd.tell();
    });
}

async fn sleeping(mut sleeper: Sleeper) {
    while let Some(duration) = sleeper.begin() {
        tokio::time::sleep(duration).await;
        sleeper.woke();
    }
}

fn hold(variant: &str) {
    let variant = variant.to_owned();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let served: io::Result<()> = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(4096)?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            match variant.as_str() {
                NONE => drop(tokio::spawn(wait(stream))),
                "reset" => drop(tokio::spawn(wait_resetting(stream))),
                _ => drop(tokio::spawn(wait_in_time(stream))),
            }
        }
    });
    served.expect("a listener");
}

async fn wait(mut stream: TcpStream) {
    let mut buffer = Box::new([0; BUFFER]);
    while stream.read(&mut *buffer).await.is_ok_and(|read| read > 0) {}
}

async fn wait_in_time(mut stream: TcpStream) {
    let mut buffer = Box::new([0; BUFFER]);
    while let Ok(Ok(read)) = timeout(DEADLINE, stream.read(&mut *buffer)).await {
        if read == 0 {
            return;
        }
    }
}

async fn wait_resetting(mut stream: TcpStream) {
    let mut buffer = Box::new([0; BUFFER]);
    let mut idle = pin!(sleep_until(Instant::now() + DEADLINE));
    loop {
        tokio::select! {
            biased;
            read = stream.read(&mut *buffer) => if !read.is_ok_and(|read| read > 0) { return },
            () = &mut idle => return,
        }
        idle.as_mut().reset(Instant::now() + DEADLINE);
    }
}

fn dial(_: &str, dials: Dials) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        for _ in dials.rounds() {
            let mut connects = JoinSet::new();
            for _ in 0..AT_ONCE {
                let dials = dials.clone();
                connects.spawn_local(async move {
                    let dial = dials.begin();
                    if timeout(TIMEOUT, TcpStream::connect(dials.to)).await.is_err() {
                        dial.timed_out();
                    }
                });
            }
            connects.join_all().await;
        }
        dials.tell();
    });
}

fn tasks(number: u64) {
    use std::time::Instant;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        for _ in 0..number {
            tokio::spawn(async {}).await.expect("no panic");
        }
        tell_each(SPAWN, number, began);
        let began = Instant::now();
        tokio::spawn(WakesItself(number)).await.expect("no panic");
        tell_each(SELF_WAKE, number, began);
        tell(REMOTE_WAKE, tokio::spawn(BusyUntilWoken::new(number)).await.expect("no panic"));
        tell(IDLE_WAKE, tokio::spawn(IdleUntilWoken::new(IDLE_WAKES)).await.expect("no panic"));
        let mut sleeping = JoinSet::new();
        for _ in 0..CANCELLED {
            sleeping.spawn(tokio::time::sleep(DEADLINE));
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        sleeping.shutdown().await;
        tell_each(CANCEL, CANCELLED as u64, began);
    });
}

fn busy_wakes(number: u64) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::spawn(BusyUntilWoken::new(number)).await.expect("no panic");
    });
}
