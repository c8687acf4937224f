//! The ends of a server, other than a drain that is asked for: the runtime's, a scope's, its own being dropped; and what
//! is seen of it while it runs.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use punctual::http::{Body, Drained, Limits, ServerTimeouts, serve as serve_on, service_fn};
use punctual::net::TcpListener;
use punctual::{BlockingPool, Runtime, scope, sleep, spawn, waits};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::{assert_baseline, on_runtime, watchdog};
use tracing_subscriber::layer::SubscriberExt;

use crate::rig::{MS, Raw, get, now, serve};

async fn handler(request: Request<Body>) -> Result<Response<String>, Infallible> {
    if request.uri().path() == "/never" {
        std::future::pending::<()>().await;
    }
    Ok(Response::new("well".to_owned()))
}

/// Two connections, one idle and one with a request that is never answered, on a thread of their own. Both must end.
fn two_clients(address: SocketAddr) -> (Receiver<()>, std::thread::JoinHandle<()>) {
    let (ready, are_ready) = channel();
    let clients = std::thread::spawn(move || {
        let mut idle = Raw::connect(address);
        idle.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
        let mut busy = Raw::connect(address);
        busy.say("GET /never HTTP/1.1\r\nhost: test\r\n\r\n");
        let mut later = Raw::connect(address);
        later.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
        drop(later);
        ready.send(()).expect("awaited");
        assert_eq!((idle.rest(), busy.rest()), Default::default());
    });
    (are_ready, clients)
}

async fn until_ready(are_ready: &Receiver<()>) {
    while are_ready.try_recv().is_err() {
        sleep(2 * MS).await;
    }
}

/// The loop runs while they end.
async fn joined(clients: std::thread::JoinHandle<()>) {
    while !clients.is_finished() {
        sleep(2 * MS).await;
    }
    clients.join().expect("both have ended");
}

#[test]
fn p17_a_scope_that_ends_and_a_server_that_is_dropped_take_all_connections_along() {
    on_runtime("scope", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (are_ready, clients) = two_clients(listener.local_addr().expect("an address"));
        let ended = scope("short", punctual::Unbounded, async |scope| {
            drop(scope.spawn(async move { serve_on(listener, service_fn(handler)).await.map(drop) }));
            until_ready(&are_ready).await;
            scope.cancel("enough");
        });
        drop(ended.await);
        joined(clients).await;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (are_ready, clients) = two_clients(listener.local_addr().expect("an address"));
        let serving = spawn(serve_on(listener, service_fn(handler)).into_future());
        until_ready(&are_ready).await;
        serving.abort();
        joined(clients).await;
    });
}

#[test]
fn p17_a_runtime_that_shuts_down_ends_it_with_a_report() {
    let _watchdog = watchdog("shutdown", Duration::from_secs(6));
    let runtime = Runtime::new().expect("a runtime");
    let handle = runtime.handle();
    let (drained, clients) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (are_ready, clients) = two_clients(listener.local_addr().expect("an address"));
        let serving = spawn(serve_on(listener, service_fn(handler)).into_future());
        until_ready(&are_ready).await;
        handle.shutdown().expect("told");
        (serving.await.expect("no panic"), clients)
    });
    clients.join().expect("both have ended");
    let _: Drained = drained.expect("a report");
    assert_baseline(&runtime);
}

#[test]
fn p17_a_second_signal_cuts() {
    on_runtime("signals", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (are_ready, clients) = two_clients(listener.local_addr().expect("an address"));
        let signals = std::rc::Rc::new(std::cell::Cell::new(0));
        let heard = signals.clone();
        let signal = async move || {
            while heard.get() == 0 {
                sleep(MS).await;
            }
            heard.set(heard.get() - 1);
        };
        let serve = serve_on(listener, service_fn(handler)).drain_on(signal, Duration::from_secs(3600));
        let serving = spawn(serve.into_future());
        until_ready(&are_ready).await;
        signals.set(1);
        sleep(50 * MS).await;
        assert!(!serving.is_finished(), "the one that never ends has an hour");
        signals.set(1);
        let drained = serving.await.expect("no panic").expect("no error");
        assert_eq!((drained.idle, drained.finished, drained.cut), (1, 0, 1), "{drained:?}");
        joined(clients).await;
    });
}

#[test]
fn l01_a_tls_handshake_that_stalls_ends_in_its_own_time_and_holds_up_nobody() {
    let _watchdog = watchdog("handshake", Duration::from_secs(6));
    let short = 200 * MS;
    let runtime = Runtime::new().expect("a runtime");
    let recorded = runtime.block_on(async {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut timeouts = ServerTimeouts::default();
        timeouts.tls = short;
        let serve = serve_on(listener, service_fn(handler)).tls(authority.localhost().acceptor());
        let serve = serve.timeouts(timeouts);
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        let silent = std::thread::spawn(move || {
            let mut silent = Raw::connect(address);
            let mut half = Raw::connect(address);
            // The head of a record, and no record.
            half.say([0x16, 3, 1, 2, 0]);
            for stalled in [&mut silent, &mut half] {
                let _ = stalled.stream.read_to_end(&mut Vec::new());
                stalled.assert_older_than(short);
            }
        });
        while !silent.is_finished() {
            let began = now();
            let stream = punctual::net::TcpStream::connect(address).await.expect("connected");
            let stream = authority.connector().connect(stream, "localhost").await.expect("shaken");
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .expect("sent");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect("answered");
            assert_eq!(&answer, b"HTTP/1.1 200");
            assert!(punctual_tests_http::rig::since(began) < Duration::from_secs(5));
        }
        joined(silent).await;
        drainer.drain(Duration::from_secs(1));
        serving.await.expect("no panic").expect("no error");
        punctual::phases()
    });
    let tls = recorded.iter().find(|record| record.phase == "tls-handshake").expect("recorded");
    assert_eq!(tls.endings.timeouts(), 2, "{tls:?}");
    assert_baseline(&runtime);
}

#[test]
fn the_audit_knows_all_that_waits_in_a_server_as_bounded() {
    on_runtime("audit", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (are_ready, clients) = two_clients(address);
        let serve = serve_on(listener, service_fn(handler));
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        until_ready(&are_ready).await;
        let http2 = std::net::TcpStream::connect(address).expect("connected");
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        std::io::Write::write_all(&mut &http2, &begin).expect("sent");
        sleep(20 * MS).await;
        let waits = waits();
        let text = waits.to_string();
        assert!(text.contains("http-connection"), "{text}");
        let unbounded: Vec<_> =
            waits.iter().filter(|wait| wait.class() == punctual::WaitClass::Unbounded).collect();
        assert!(unbounded.is_empty(), "{unbounded:#?}\n{text}");
        drainer.cut();
        serving.await.expect("no panic").expect("no error");
        joined(clients).await;
    });
}

/// All that is told, as text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<String>>);

impl std::io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Everything(Told);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Everything {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        self.tell(attributes.metadata(), &format!("{:?}", attributes.values()));
    }

    fn on_record(
        &self,
        _: &tracing::Id,
        values: &tracing::span::Record<'_>,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        self.0.0.lock().expect("no panic").push_str(&format!("record {values:?}\n"));
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.tell(event.metadata(), &format!("{event:?}"));
    }
}

impl Everything {
    fn tell(&self, about: &tracing::Metadata<'_>, what: &str) {
        if about.target().starts_with("punctual") {
            self.0.0.lock().expect("no panic").push_str(&format!(
                "{} {} {what}\n",
                about.level(),
                about.name()
            ));
        }
    }
}

#[test]
fn a_request_is_told_of_once_and_nothing_secret_of_it() {
    let told = Told::default();
    let subscriber = tracing_subscriber::registry().with(Everything(told.clone()));
    let served = tracing::subscriber::with_default(subscriber, || {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let serve = serve_on(listener, service_fn(handler));
            let drainer = serve.drainer();
            let serving = spawn(serve.into_future());
            let pool = BlockingPool::new(1, 1).expect("a pool");
            let clients = pool.run(move || {
                let secret =
                    "GET /path?token=swordfish HTTP/1.1\r\nhost: test\r\nauthorization: swordfish\r\n";
                Raw::connect(address)
                    .say(format!("{secret}content-length: 9\r\nconnection: close\r\n\r\nswordfish"))
                    .rest()
            });
            let response = clients.await.expect("the clients");
            drainer.drain(Duration::from_secs(1));
            serving.await.expect("no panic").expect("no error");
            response
        })
    });
    assert!(served.starts_with("HTTP/1.1 200"), "{served:?}");
    let told = told.0.lock().expect("no panic").clone();
    assert_eq!(told.matches("DEBUG http_request").count(), 1, "{told}");
    assert_eq!(told.matches("http.server.request").count(), 1, "{told}");
    assert!(told.contains("/path") && told.contains("200"), "{told}");
    assert!(!told.contains("swordfish"), "{told}");
}

#[test]
fn what_is_not_let_in_is_closed() {
    let (timeouts, limits) = (ServerTimeouts::default(), Limits::default());
    serve(
        "let in",
        timeouts,
        limits,
        || service_fn(handler),
        |address| {
            assert!(get(address, "/").starts_with("HTTP/1.1 200"));
        },
    );
    on_runtime("not let in", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serve = serve_on(listener, service_fn(handler)).admit(|peer| peer.is_none());
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        let pool = BlockingPool::new(1, 1).expect("a pool");
        assert_eq!(pool.run(move || Raw::connect(address).rest()).await.expect("the client"), "");
        drainer.cut();
        serving.await.expect("no panic").expect("no error");
    });
}
