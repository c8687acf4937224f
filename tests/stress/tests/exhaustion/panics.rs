//! K16: panics by the thousand, in all places at once.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::net::UnixStream;
use punctual::{Runtime, http, scope, sleep, spawn, timeout, yield_now};
use punctual_reactor::rig::waker_whose_clone_panics;
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, watchdog};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const PLACES: usize = 12;

/// Quiet: a thousand backtraces say no more than one.
fn go_off() -> ! {
    resume_unwind(Box::new("bang"));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            go_off();
        }
    }
}

/// Panics when it wakes.
struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        go_off();
    }
}

/// A waker that panics when it is dropped.
struct BadEnd(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl Wake for BadEnd {
    fn wake(self: Arc<Self>) {}
}

/// In one of the places where a panic may come from.
async fn panics_somewhere(place: usize) {
    match place % PLACES {
        0 => go_off(),
        1 => {
            let _bomb = Bomb;
            sleep(MS).await;
        }
        2 => {
            let bomb = Bomb;
            let _ = timeout(
                MS,
                poll_fn(move |_| {
                    let _held = &bomb;
                    Poll::<()>::Pending
                }),
            )
            .await;
        }
        3 => {
            let child = spawn(async {
                let _bomb = Bomb;
                pending::<()>().await
            });
            yield_now().await;
            child.abort();
            assert!(child.await.is_err());
        }
        4 => {
            let mut alarm = sleep(MS);
            let waker = Waker::from(Arc::new(BadWaker));
            assert!(Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker)).is_pending());
            sleep(2 * MS).await;
        }
        5 => {
            let (near, far) = UnixStream::pair().expect("a pair");
            let mut byte = [0];
            let mut read = Box::pin(near.read(&mut byte));
            let waker = Waker::from(Arc::new(BadWaker));
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            far.write_all(b"x").await.expect("room");
            sleep(MS).await;
        }
        6 => {
            let _ = scope("bombs", Duration::from_secs(9), async |scope| {
                scope.spawn(async { go_off() });
                let _bomb = Bomb;
                sleep(MS).await;
            })
            .await;
        }
        7 => {
            let waker = waker_whose_clone_panics();
            let mut alarm = sleep(MS);
            let _ = Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker));
        }
        8 => {
            let (near, _far) = UnixStream::pair().expect("a pair");
            let waker = waker_whose_clone_panics();
            let mut byte = [0];
            let mut read = Box::pin(near.read(&mut byte));
            let _ = read.as_mut().poll(&mut Context::from_waker(&waker));
        }
        9 => {
            let mut alarm = sleep(MS);
            let waker = Waker::from(Arc::new(BadEnd(Bomb)));
            assert!(Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker)).is_pending());
            // Its last owner is the timer, which lets go of it when it fires.
            drop(waker);
            sleep(2 * MS).await;
        }
        10 => {
            let mut alarm = sleep(Duration::from_secs(9));
            let waker = Waker::from(Arc::new(BadEnd(Bomb)));
            assert!(Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker)).is_pending());
            // Or before that.
            drop(waker);
            drop(alarm);
        }
        _ => {
            let (near, _far) = UnixStream::pair().expect("a pair");
            let _bomb = Bomb;
            near.set_read_timeout(Some(MS)).expect("open");
            let _ = near.read(&mut [0]).await;
        }
    }
}

#[test]
fn k16_eight_thousand_panics_in_tasks_wakers_and_drops_harm_nobody_else() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("k16", Duration::from_secs(120));
    let runtime = Runtime::new().expect("a runtime");
    let before = rig::descriptors();
    let (mut panicked, mut resident) = (0, Vec::new());
    for _ in 0..8 {
        runtime.block_on(async {
            let bystanders: Vec<_> = (0..100_u32)
                .map(|n| {
                    spawn(async move {
                        sleep(MS).await;
                        n
                    })
                })
                .collect();
            let tasks: Vec<_> = (0..1_000).map(|place| spawn(panics_somewhere(place))).collect();
            for task in tasks {
                panicked += usize::from(task.await.is_err_and(|error| error.is_panic()));
            }
            for (n, bystander) in bystanders.into_iter().enumerate() {
                assert_eq!(bystander.await.expect("nobody else is harmed") as usize, n);
            }
        });
        assert_baseline(&runtime);
        assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new());
        resident.push(rig::resident_kib());
    }
    println!("{panicked} tasks panicked; resident {resident:?} KiB");
    assert!(panicked >= 8 * 400, "{panicked}");
    assert!(resident[7] <= resident[1] + resident[1] / 10 + 1_024, "it grows: {resident:?} KiB");
    // While tasks are left that panic when they are dropped.
    for place in 0..64 {
        drop(runtime.spawn(panics_somewhere(place)));
    }
    runtime.block_on(yield_now());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(runtime))).is_ok());
}

#[test]
fn k16_a_handler_of_http_that_panics_ends_its_connection_and_no_other() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("k16 http", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = rig::listen();
        let service = http::service_fn(async |request: ::http::Request<http::Body>| {
            match request.uri().path() {
                "/now" => go_off(),
                "/later" => {
                    sleep(MS).await;
                    go_off()
                }
                "/drop" => {
                    let _bomb = Bomb;
                    sleep(MS).await;
                }
                _ => {}
            }
            Ok::<_, std::convert::Infallible>(::http::Response::new("fine".to_owned()))
        });
        let serve = http::serve(listener, service);
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        for prior_knowledge in [false, true] {
            let builder = http::Client::builder();
            let builder = if prior_knowledge { builder.http2_prior_knowledge() } else { builder };
            let client = builder.build();
            for round in 0..30 {
                for path in ["now", "later", "drop"] {
                    let sent = client.post(format!("http://{address}/{path}")).send().await;
                    let status = sent.as_ref().map(|response| response.status().as_u16());
                    assert!(
                        status.is_err() || status.is_ok_and(|status| status == 500),
                        "{round} {path}: {sent:?}"
                    );
                }
                let fine = client.get(format!("http://{address}/fine")).send().await.expect("served");
                assert_eq!(fine.text(9).await.expect("a body"), "fine");
            }
        }
        drainer.drain(Duration::from_secs(1));
        serving.await.expect("the server does not panic").expect("no error");
    });
    assert_baseline(&runtime);
}

/// Of a task that panics its owner has the payload; what panics beside it is told by an event.
#[test]
fn k16_each_panic_is_told_where_the_documentation_says() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("k16 told", Duration::from_secs(60));
    let told = Arc::new(Told::default());
    tracing::subscriber::set_global_default(Teller(told.clone())).expect("the first");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let error = spawn(async { go_off() }).await.map(|()| "a result").expect_err("it panics");
        assert!(error.is_panic() && error.to_string().contains("bang"), "{error}");
        let payload = error.try_into_panic().expect("it is one");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"bang"));
        assert_eq!(told.take(), Vec::<String>::new());
        // A waker's, of a timer and of a stream.
        let mut alarm = sleep(MS);
        let waker = Waker::from(Arc::new(BadWaker));
        assert!(Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker)).is_pending());
        sleep(2 * MS).await;
        assert_eq!(told.take(), ["a waker panicked"]);
        let (near, far) = UnixStream::pair().expect("a pair");
        let mut byte = [0];
        let mut read = Box::pin(near.read(&mut byte));
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        far.write_all(b"x").await.expect("room");
        sleep(MS).await;
        assert_eq!(told.take(), ["a waker panicked"]);
        assert_eq!(read.await.expect("it is there"), 1);
        // A call's from elsewhere.
        runtime.handle().call(|| go_off()).expect("room");
        sleep(MS).await;
        assert_eq!(told.take(), ["a call from another thread panicked"]);
        // A drop's: of a task that is aborted.
        let aborted = spawn(async {
            let _bomb = Bomb;
            pending::<()>().await
        });
        yield_now().await;
        aborted.abort();
        assert!(aborted.await.is_err_and(|error| error.is_aborted()));
        assert_eq!(told.take(), ["the drop of a future or a call panicked"]);
    });
    assert_baseline(&runtime);
    // And of those that are left at the end, each of them.
    for _ in 0..3 {
        drop(runtime.spawn(async {
            let _bomb = Bomb;
            pending::<()>().await
        }));
    }
    runtime.block_on(yield_now());
    drop(runtime);
    assert_eq!(told.take(), ["the drop of a future or a call panicked"; 3]);
}

/// What was told as an error.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

impl Visit for &Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().expect("whole").push(format!("{value:?}"));
        }
    }
}

/// A subscriber that keeps what errors say.
struct Teller(Arc<Told>);

impl Subscriber for Teller {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        *of.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
