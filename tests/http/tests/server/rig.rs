//! A server on the loop of the test's thread, and raw clients on another.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use punctual::http::{self, Drained, HttpService, Limits, ServerTimeouts};
use punctual::net::TcpListener;
use punctual::{BlockingPool, PhaseRecord, Runtime, phases, spawn};
pub(crate) use punctual_tests_http::rig::now_ns as now;
use punctual_tests_http::rig::{assert_baseline, since, watchdog};
use tracing_subscriber::layer::SubscriberExt;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What is left of a server that has served.
pub(crate) struct Served {
    pub(crate) drained: Drained,
    pub(crate) phases: Vec<PhaseRecord>,
    /// Name and level of each event of a timeout.
    pub(crate) events: Vec<(String, tracing::Level)>,
}

impl Served {
    pub(crate) fn event(&self, name: &str) -> usize {
        self.events.iter().filter(|(event, _)| event == name).count()
    }

    /// How many of this phase have timed out by their own deadline.
    pub(crate) fn timeouts(&self, phase: &str) -> u64 {
        let of_phase = self.phases.iter().find(|record| record.phase == phase);
        of_phase.map_or(0, |record| record.endings.timeouts())
    }
}

/// Serves `service` while `clients` runs on a thread of its own; everything is seen to have ended afterwards.
pub(crate) fn serve<S: HttpService>(
    what: &'static str,
    timeouts: ServerTimeouts,
    limits: Limits,
    service: impl FnOnce() -> S,
    clients: impl FnOnce(SocketAddr) + Send + 'static,
) -> Served {
    let _watchdog = watchdog(what, Duration::from_secs(6));
    let events = Arc::<Mutex<Vec<_>>>::default();
    let subscriber = tracing_subscriber::registry().with(Events(events.clone()));
    let runtime = Runtime::new().expect("a runtime");
    let (drained, phases) = tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let serve = http::serve(listener, service()).timeouts(timeouts).limits(limits);
            let drainer = serve.drainer();
            let serving = spawn(serve.into_future());
            let pool = BlockingPool::new(1, 1).expect("a pool");
            let clients = pool.run(move || clients(address)).await;
            drainer.drain(Duration::from_secs(2));
            let drained = serving.await.expect("no panic").expect("no error");
            if let Err(error) = clients {
                panic!("the clients: {error}");
            }
            (drained, phases())
        })
    });
    assert_baseline(&runtime);
    let events = std::mem::take(&mut *events.lock().expect("no panic"));
    Served { drained, phases, events }
}

struct Events(Arc<Mutex<Vec<(String, tracing::Level)>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let about = event.metadata();
        if about.target() == "punctual::phase" {
            self.0.lock().expect("no panic").push((about.name().to_owned(), *about.level()));
        }
    }
}

/// A client that says what it is told to, and nothing else.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) began: u64,
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        // Before the server can have accepted it.
        let began = now();
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Raw { stream, began }
    }

    pub(crate) fn say(&mut self, words: impl AsRef<[u8]>) -> &mut Raw {
        self.stream.write_all(words.as_ref()).expect("written");
        self
    }

    /// As [`say`](Raw::say), to one that may have closed.
    pub(crate) fn try_say(&mut self, words: &str) {
        let _ = self.stream.write_all(words.as_bytes());
    }

    /// Whether the server has said something that was not read.
    pub(crate) fn is_told(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an option");
        let told = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).expect("an option");
        told
    }

    /// What is read until the server has ended; a reset ends it as well.
    pub(crate) fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut room = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => break,
                Ok(read) => all.extend_from_slice(&room[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server does not end: {error}"),
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// One response with a length, head and body.
    pub(crate) fn response(&mut self) -> String {
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n\r\n") {
            all.push(self.byte());
        }
        let head = String::from_utf8_lossy(&all).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        all.extend((0..length).map(|_| self.byte()).collect::<Vec<_>>());
        String::from_utf8(all).expect("text")
    }

    fn byte(&mut self) -> u8 {
        let mut one = [0];
        self.stream.read_exact(&mut one).expect("a byte");
        one[0]
    }

    /// O1: whatever has ended it was not early.
    pub(crate) fn assert_older_than(&self, bound: Duration) {
        assert!(self.age() >= bound, "early: {:?} of {bound:?}", self.age());
    }

    /// How long ago it connected.
    pub(crate) fn age(&self) -> Duration {
        since(self.began)
    }
}

/// One request on a connection of its own, and its response.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    Raw::connect(address).say(request).rest()
}

/// One that must be well, whatever goes on beside it.
pub(crate) fn assert_served(address: SocketAddr) {
    let response = get(address, "/");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}
