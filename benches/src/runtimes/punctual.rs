//! This project.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use punctual_net::{Connect, Listen, TcpListener, TcpStream};
use punctual_reactor::{Leeway, Precise, Runtime, Unbounded, scope, spawn};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening, tell};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps};
use crate::workloads::idle::{BUFFER, DEADLINE, POOLED, POOLED_TIMEOUT};
use crate::workloads::tasks::{
    BusyUntilWoken, CANCEL, CANCELLED, IDLE_WAKE, IDLE_WAKES, IdleUntilWoken, REMOTE_WAKE, SELF_WAKE,
    SPAWN, WakesItself, tell_each,
};

pub(crate) const PEER: Peer = Peer {
    name: "punctual",
    bounds: &[NONE, "read timeout"],
    sleeps: &["sleep", "precise"],
    echo,
    sleep,
    crowds: &["leeway 0", "leeway 1 ms"],
    crowd,
    hold,
    holds_bare: &[POOLED, POOLED_TIMEOUT],
    dials: &["default leeway", "leeway 0"],
    dial,
    has_tasks: true,
    tasks,
    busy_wakes,
    ..Peer::IDLER
};

fn echo(variant: &str, ends: Ends) {
    let idle = (variant != NONE).then_some(IDLE);
    let serve = async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(idle)?;
            let ends = ends.clone();
            drop(spawn(async move {
                // One that breaks is over.
                let _ = answer(&stream).await;
                ends.one();
            }));
        }
    };
    let served: Result<(), punctual_net::Error> = Runtime::new().expect("a runtime").block_on(serve);
    served.expect("an echo");
}

async fn answer(stream: &TcpStream) -> Result<(), punctual_net::Error> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        };
    }
}

fn sleep(variant: &str, mut sleeps: Sleeps) {
    let builder = Runtime::builder();
    let builder = match variant {
        "precise" => builder.precise(Precise::default()),
        _ => builder,
    };
    builder.build().expect("a runtime").block_on(async {
        while let Some(duration) = sleeps.begin() {
            punctual_reactor::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}

fn crowd(variant: &str, crowd: Crowd) {
    let leeway = if variant == "leeway 0" { Leeway::NONE } else { Leeway::MILLISECOND };
    Runtime::new().expect("a runtime").block_on(async {
        let tasks: Vec<_> = crowd.sleepers().map(|one| spawn(sleeping(one, leeway))).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        crowd.tell();
    });
}

async fn sleeping(mut sleeper: Sleeper, leeway: Leeway) {
    while let Some(duration) = sleeper.begin() {
        punctual_reactor::sleep(duration).with_leeway(leeway).await;
        sleeper.woke();
    }
}

fn hold(variant: &str) {
    let bounded = variant != NONE && variant != POOLED;
    let deadline = bounded.then_some(DEADLINE);
    let pooled = [POOLED, POOLED_TIMEOUT].contains(&variant);
    let serve = async {
        let listener = Listen::on("127.0.0.1:0").backlog(4096).bind()?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_read_timeout(deadline)?;
            if pooled {
                drop(spawn(async move {
                    while stream.read_pooled().await.is_ok_and(|read| !read.is_empty()) {}
                }));
                continue;
            }
            drop(spawn(async move {
                let mut buffer = Box::new([0; BUFFER]);
                while stream.read(&mut *buffer).await.is_ok_and(|read| read > 0) {}
            }));
        }
    };
    let served: Result<(), punctual_net::Error> = Runtime::new().expect("a runtime").block_on(serve);
    served.expect("a listener");
}

fn dial(variant: &str, dials: Dials) {
    let leeway = (variant == "leeway 0").then_some(Leeway::NONE);
    Runtime::new().expect("a runtime").block_on(async {
        for _ in dials.rounds() {
            let connects: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let dials = dials.clone();
                    spawn(async move {
                        let dial = dials.begin();
                        let connect = Connect::to(dials.to).timeout(TIMEOUT);
                        let connect = match leeway {
                            Some(leeway) => connect.leeway(leeway),
                            None => connect,
                        };
                        if connect.connect().await.is_err_and(|error| error.is_timeout()) {
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

fn tasks(number: u64) {
    Runtime::new().expect("a runtime").block_on(async {
        let began = Instant::now();
        for _ in 0..number {
            spawn(async {}).await.expect("no panic");
        }
        tell_each(SPAWN, number, began);
        let began = Instant::now();
        spawn(WakesItself(number)).await.expect("no panic");
        tell_each(SELF_WAKE, number, began);
        tell(REMOTE_WAKE, spawn(BusyUntilWoken::new(number)).await.expect("no panic"));
        tell(IDLE_WAKE, spawn(IdleUntilWoken::new(IDLE_WAKES)).await.expect("no panic"));
        let began = Cell::new(Instant::now());
        let cancelled = scope("all", Unbounded, async |scope| {
            for _ in 0..CANCELLED {
                drop(scope.spawn(punctual_reactor::sleep(DEADLINE)));
            }
            punctual_reactor::yield_now().await;
            began.set(Instant::now());
            scope.cancel("measured");
        });
        // It says so.
        let _ = cancelled.await;
        tell_each(CANCEL, CANCELLED as u64, began.get());
    });
}

fn busy_wakes(number: u64) {
    Runtime::new().expect("a runtime").block_on(async {
        spawn(BusyUntilWoken::new(number)).await.expect("no panic");
    });
}

/// An echo on so many reactors, each with a core, a listener of its own, and all on one port.
pub(crate) fn cores(reactors: usize) {
    let listened = Arc::new(AtomicUsize::new(0));
    let served = punctual::per_core(reactors, move |core| {
        let listened = listened.clone();
        async move {
            let listener = core.listen("127.0.0.1:0")?;
            if listened.fetch_add(1, Ordering::Relaxed) + 1 == core.count() {
                listening(listener.local_addr()?);
            }
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(IDLE))?;
                drop(spawn(async move { answer(&stream).await }));
            }
        }
    });
    served
        .map(|_: Vec<()>| ())
        .map_err(|error: punctual::CoreError<punctual_net::Error>| error.to_string())
        .expect("an echo");
}
