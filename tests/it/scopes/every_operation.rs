//! K01, K02, K06, K14: every way of waiting, ended in every way.

use super::*;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use punctual::Handle;
use punctual::net::{Connect, Error, TcpListener, UdpSocket};

/// What the operations work on. The peers are kept, and silent.
struct Peers {
    stream: punctual::net::TcpStream,
    full: punctual::net::TcpStream,
    listener: TcpListener,
    deaf: std::net::SocketAddr,
    udp: UdpSocket,
    wire: Wire,
    remote: Handle,
    over: Arc<AtomicBool>,
    _kept: (
        punctual::net::TcpStream,
        punctual::net::TcpStream,
        std::net::TcpListener,
        std::net::TcpStream,
        Wire,
    ),
}

impl Peers {
    async fn new(runtime_handle: Handle) -> Rc<Peers> {
        let (stream, silent) = tcp_pair().await;
        let (full, unread) = tcp_pair().await;
        full.fill().await;
        let (listener, _) = listen();
        let (deaf_listener, deaf, filler) = deaf_listener();
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (wire, far) = wire::pair();
        let remote = runtime_handle;
        let _kept = (silent, unread, deaf_listener, filler, far);
        let over = Arc::default();
        Rc::new(Peers { stream, full, listener, deaf, udp, wire, remote, over, _kept })
    }
}

/// How an operation said that it was ended.
type Said = Result<(), String>;

fn said<T>(result: Result<T, Error>) -> Said {
    match result {
        Ok(_) => Err("it succeeded".into()),
        Err(error) if error.kind() == Kind::Cancelled => match error.cause() {
            Some(cause)
                if cause.as_str() == "the user has left"
                    && cause.scope().is_some_and(|of| of.starts_with("every")) =>
            {
                Ok(())
            }
            cause => Err(format!("{cause:?}")),
        },
        Err(error) => Err(error.to_string()),
    }
}

fn said_so(failure: &Failure) -> Said {
    let (cause, of) = cause_of(failure);
    if cause == "the user has left" && of.is_some_and(|of| of.starts_with("every")) {
        Ok(())
    } else {
        Err(cause)
    }
}

type Operation = fn(Rc<Peers>) -> Boxed<Said>;
type Started = (&'static str, Canceller, JoinHandle<Option<Said>>);

/// Every operation: what the audit calls it while it waits, and itself. One that cannot tell of its end waits
/// until it is dropped.
fn operations() -> Vec<(&'static str, Operation)> {
    vec![
        ("sleep", |_| {
            Box::pin(async {
                sleep(PATIENCE).await;
                Ok(())
            })
        }),
        ("timeout", |_| {
            Box::pin(async { timeout(PATIENCE, pending()).await.map_err(|e| e.to_string()) })
        }),
        ("read", |on| Box::pin(async move { said(on.stream.read(&mut [0; 8]).await) })),
        ("read", |on| Box::pin(async move { said(on.stream.read_exact(&mut [0; 8]).await) })),
        ("read", |on| {
            Box::pin(async move {
                let on = &*on;
                let polled = poll_fn(|cx| {
                    on.wire.io.poll_operate(cx, Direction::Read, |mut io| {
                        use std::io::Read;
                        io.read(&mut [0; 8]).map(|bytes| punctual::reactor::Done::bytes(bytes, 8))
                    })
                });
                said_so(&polled.await.expect_err("silent"))
            })
        }),
        ("write", |on| Box::pin(async move { said(on.full.write_all(&[0; 64]).await) })),
        ("accept", |on| Box::pin(async move { said(on.listener.accept().await) })),
        ("tcp-connect", |on| Box::pin(async move { said(Connect::to(on.deaf).connect().await) })),
        ("read", |on| Box::pin(async move { said(on.udp.recv_from(&mut [0; 8]).await) })),
        ("join", |on| {
            Box::pin(async move {
                let mut join = spawn(until_told(on.over.clone()));
                let error = (&mut join).await.expect_err("it never ends");
                assert!(error.is_cancelled() && !join.is_finished(), "the task runs on");
                join.abort();
                assert!(error.to_string().starts_with("the wait for the task spawned at "), "{error}");
                match error.scope_end().and_then(ScopeEnd::cause) {
                    Some(cause) if cause.as_str() == "the user has left" => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
        }),
        ("join", |on| {
            Box::pin(async move {
                let remote = remote_task(&on);
                match remote.await {
                    Err(error) if error.is_cancelled() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
        }),
        ("wait", |_| {
            Box::pin(async { said_so(&in_scope(pending::<()>()).await.expect_err("it never ends")) })
        }),
        ("blocking-work", |_| {
            Box::pin(async {
                let (release, stuck) = std::sync::mpsc::channel::<()>();
                let result = punctual::blocking(move || stuck.recv().is_ok()).await;
                drop(release);
                match result {
                    Err(punctual::BlockingError::Ended(failure)) => said_so(&failure),
                    other => Err(format!("{other:?}")),
                }
            })
        }),
        #[cfg(feature = "dns")]
        ("resolve", |_| {
            Box::pin(async {
                let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
                let resolver = punctual::net::Resolver::builder()
                    .servers([silent.local_addr().expect("its address")])
                    .build();
                said(resolver.lookup("silent.example").await)
            })
        }),
        ("wait", |_| {
            Box::pin(async {
                let inner = scope("inner", Unbounded, async |inner| {
                    let task =
                        inner.spawn(async { in_scope(pending::<()>()).await.expect_err("ended") });
                    let failure = in_scope(pending::<()>()).await.expect_err("it never ends");
                    drop(task);
                    failure
                });
                said_so(&inner.await.expect("all returned"))
            })
        }),
    ]
}

/// Starts each operation as a task in a scope of its own; returns when all wait.
async fn start(peers: &Rc<Peers>) -> Vec<Started> {
    let mut started = Vec::new();
    for (number, (what, operation)) in operations().into_iter().enumerate() {
        let name = format!("every{number}");
        let slot = Rc::new(RefCell::new(None));
        let (peers, scopes) = (peers.clone(), slot.clone());
        let called = name.clone();
        let task = spawn(async move {
            let ended = scope(called, Unbounded, async |scope| {
                *scopes.borrow_mut() = Some(scope.canceller());
                operation(peers).await
            });
            ended.await.map_or_else(
                |error| {
                    assert_eq!(error.cause(), Some(&"the user has left".into()), "{what}: {error}");
                    None
                },
                Some,
            )
        });
        let is_its_own = |path: &str| path.split('/').next() == Some(&name);
        let waits_so =
            |wait: &punctual::Wait| wait.what() == what && wait.scope().is_some_and(is_its_own);
        while !waits().iter().any(waits_so) {
            assert!(!task.is_finished(), "{what} does not wait");
            yield_now().await;
        }
        started.push((what, slot.take().expect("it has begun"), task));
    }
    started
}

fn each_ended(ended: Vec<(&'static str, Option<Said>)>) {
    for (what, said) in ended {
        match said {
            Some(said) => assert_eq!(said, Ok(()), "{what}"),
            // Those that return nothing of a cancel, and were dropped.
            None => assert!(["sleep", "timeout"].contains(&what), "{what} was dropped and did not end"),
        }
    }
}

#[test]
fn k01_every_operation_ends_in_the_next_turn() {
    on_alarms("k01", async |runtime| {
        let peers = Peers::new(runtime.handle()).await;
        let mut ended = Vec::new();
        for (what, canceller, task) in start(&peers).await {
            let turn = runtime.metrics().turns;
            canceller.cancel("the user has left").expect("room");
            let said = task.await.expect("no panic");
            let turns = runtime.metrics().turns - turn;
            // One that takes the message and runs the task, one for the tasks that it waits for.
            assert!(turns <= 2, "{what} took {turns} turns");
            ended.push((what, said));
        }
        each_ended(ended);
        end_remote_tasks(&peers, runtime).await;
    });
}

/// A task of another thread, as far as the loop knows, that ends when told to.
fn remote_task(peers: &Peers) -> punctual::RemoteJoinHandle<()> {
    let over = peers.over.clone();
    peers.remote.spawn(move || until_told(over)).expect("room")
}

async fn until_told(over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        sleep(MS).await;
    }
}

/// The task that nobody waits for any more is still on the loop.
async fn end_remote_tasks(peers: &Peers, runtime: &Runtime) {
    peers.over.store(true, Ordering::Relaxed);
    while runtime.metrics().live_tasks > 0 {
        sleep(MS).await;
    }
}

#[test]
fn k02_every_operation_from_another_thread() {
    on_alarms("k02", async |runtime| {
        let peers = Peers::new(runtime.handle()).await;
        let started = start(&peers).await;
        let cancellers: Vec<Canceller> =
            started.iter().map(|(_, canceller, _)| canceller.clone()).collect();
        let thread = std::thread::spawn(move || {
            for canceller in cancellers {
                canceller.cancel("the user has left").expect("room");
                canceller.cancel("a second time").expect("room");
            }
        });
        let mut ended = Vec::new();
        for (what, _, task) in started {
            ended.push((what, task.await.expect("no panic")));
        }
        thread.join().expect("no panic");
        each_ended(ended);
        end_remote_tasks(&peers, runtime).await;
    });
}

#[test]
fn k06_dropped_while_it_waits_every_operation_leaves_nothing() {
    on_alarms("k06", async |runtime| {
        let peers = Peers::new(runtime.handle()).await;
        let idle = runtime.metrics();
        for (what, _, task) in start(&peers).await {
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_aborted()), "{what}");
        }
        end_remote_tasks(&peers, runtime).await;
        let now = runtime.metrics();
        assert_eq!((now.live_scopes, now.live_sources), (idle.live_scopes, idle.live_sources));
        assert!(waits().iter().all(|wait| wait.scope().is_none()), "{:?}", waits());
    });
}

#[test]
fn k14_a_runtime_is_dropped_while_everything_waits() {
    let _watchdog = watchdog("k14", PATIENCE / 10);
    let count = Rc::new(Cell::new(0));
    let runtime = Runtime::new().expect("a runtime");
    let handle = runtime.handle();
    let (tasks, cancellers, joins) = runtime.block_on(async {
        let peers = Peers::new(handle.clone()).await;
        let mut cancellers = Vec::new();
        let mut tasks = Vec::new();
        for (_, canceller, task) in start(&peers).await {
            cancellers.push(canceller);
            tasks.push(task);
        }
        let kept = Dropped::counts(&count);
        let in_scopes = spawn(async move {
            scope("outer", PATIENCE, async |outer| {
                let (mine, its) =
                    (kept, Dropped { count: outer_count(), thread: std::thread::current().id() });
                outer.spawn(async move {
                    let _its = its;
                    shield(PATIENCE, pending::<()>()).await.expect("dropped before");
                });
                pending::<()>().await;
                drop(mine);
            })
            .await
            .is_ok()
        });
        yield_now().await;
        drop(in_scopes);
        let joins: Vec<_> = (0..3).map(|_| handle.spawn(pending::<()>).expect("room")).collect();
        (tasks, cancellers, joins)
    });
    let waiting: Vec<_> =
        joins.into_iter().map(|join| std::thread::spawn(move || join.join().is_err())).collect();
    drop(runtime);
    assert_eq!(count.get(), 1, "dropped once, here");
    assert_eq!(outer_count().get(), 1, "the task of the scope as well");
    for thread in waiting {
        assert!(thread.join().expect("no panic"), "told that the task was aborted");
    }
    for task in tasks {
        match poll_once(task) {
            Poll::Ready(Err(error)) => assert!(error.is_aborted()),
            other => panic!("{other:?}"),
        }
    }
    for canceller in cancellers {
        assert!(matches!(canceller.cancel("too late"), Err(punctual::SendError::Closed(()))));
    }
}

thread_local! {
    static OUTER: Rc<Cell<usize>> = Rc::default();
}

fn outer_count() -> Rc<Cell<usize>> {
    OUTER.with(Rc::clone)
}
