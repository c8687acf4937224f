//! The process of the servers: frames are answered as they wish, and HTTP requests echoed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use punctual::http::{self as served, Body, ServerTimeouts};
use punctual::net::io::Throughput;
use punctual::net::{Kind, Listen, TcpListener, TcpStream};
use punctual::{JoinHandle, Runtime, sleep, spawn};
use punctual_tests_stress::proxy::Fault;
use punctual_tests_stress::rig::{self, MS, now_ns, since};
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, ending};
use crate::options::Options;
use crate::report::Side;
use crate::talk::{self, Order};
use crate::wire::{Bad, Identity, Incoming, Outgoing, Wish};

/// How many addresses the server has: that many times as many ports are there to connect from.
const LISTENERS: u8 = 4;
/// What a client may say nothing for, or take nothing.
const IDLE: Duration = Duration::from_secs(300);
/// The same, of a connection of which it is known that it stalls.
const STALLED: Duration = Duration::from_secs(2);

/// Where the server is reached.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) frames: Vec<SocketAddr>,
    pub(crate) http: SocketAddr,
}

pub(crate) struct Server {
    ledger: Rc<Ledger>,
    seed: u64,
    slots: u32,
    held: Cell<u64>,
    /// Frames that were damaged so that nobody knows whose they were.
    unknown: Cell<u64>,
}

pub(crate) fn run(options: &Options) {
    rig::raise_descriptors();
    let orders = talk::orders();
    let before = rig::descriptors();
    let runtime = Runtime::new().expect("a runtime");
    let server = Rc::new(Server {
        ledger: Rc::default(),
        seed: options.seed(),
        slots: options.connections,
        held: Cell::new(0),
        unknown: Cell::new(0),
    });
    let resident = runtime.block_on(async {
        let listeners: Vec<Rc<TcpListener>> =
            (1..=LISTENERS).map(|n| Rc::new(listen(SocketAddr::from(([127, 0, 0, n], 0))))).collect();
        let http = listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let frames = listeners.iter().map(|listener| listener.local_addr().expect("its address"));
        let (frames, address) = (frames.collect(), http.local_addr().expect("its address"));
        let accepting: Vec<_> =
            listeners.iter().map(|listener| spawn(accept(listener.clone(), server.clone()))).collect();
        let serve = served::serve(http, served::service_fn(answer)).timeouts(patient());
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        talk::say(&Addresses { frames, http: address });
        let mut resident = Vec::new();
        let mut sampled_ns = now_ns();
        while orders.load(Ordering::Acquire) != Order::Finish as u8 {
            sleep(20 * MS).await;
            let measures = orders.load(Ordering::Acquire) == Order::Measure as u8;
            if measures && since(sampled_ns) >= Duration::from_secs(1) {
                sampled_ns = now_ns();
                resident.push(rig::resident_kib());
            }
        }
        listeners.iter().for_each(|listener| listener.close());
        for task in accepting {
            task.await.expect("no acceptor panics");
        }
        drainer.drain(Duration::from_secs(5));
        serving.await.expect("the HTTP server does not panic").expect("it drains");
        let finish_ns = now_ns();
        while server.held.get() > 0 && since(finish_ns) < IDLE {
            sleep(5 * MS).await;
        }
        if server.held.get() > 0 {
            let held = server.held.get();
            server.ledger.violation(format!("{held} connections are held though all clients are gone"));
        }
        resident
    });
    let (unknown, ledger) = match Rc::try_unwrap(server) {
        Ok(server) => (server.unknown.get(), Rc::into_inner(server.ledger).expect("nothing runs")),
        Err(_) => panic!("somebody still holds the server"),
    };
    let mut side = Side::new(&runtime, ledger, resident);
    side.counters.insert("damaged beyond recognition".to_owned(), unknown);
    drop(runtime);
    side.violations.extend(rig::descriptors_beyond(&before));
    talk::say(&side);
}

/// What is cut off here would look like a fault.
fn patient() -> ServerTimeouts {
    let mut timeouts = ServerTimeouts::default();
    (timeouts.first_byte, timeouts.header, timeouts.body_idle) = (IDLE, IDLE, IDLE);
    (timeouts.write_stall, timeouts.keep_alive) = (IDLE, IDLE);
    (timeouts.ping_interval, timeouts.ping_timeout) = (IDLE, IDLE);
    timeouts.body_rate = Throughput::per_second(1);
    timeouts
}

fn listen(address: SocketAddr) -> TcpListener {
    Listen::on(address).backlog(4_096).bind().expect("a listener")
}

/// Sends a request's body back, later if its path says so.
async fn answer(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    if let Some(ms) = head.uri.path().strip_prefix("/later/") {
        sleep(Duration::from_millis(ms.parse().unwrap_or(0)).min(10_000 * MS)).await;
    }
    // One that breaks off has no answer.
    let whole = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(String::from_utf8_lossy(&whole).into_owned()))
}

/// Until the listener is closed.
async fn accept(listener: Rc<TcpListener>, server: Rc<Server>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                server.held.set(server.held.get() + 1);
                let server = server.clone();
                let serving: JoinHandle<()> = spawn(async move {
                    serve(&stream, &server).await;
                    drop(stream);
                    server.held.set(server.held.get() - 1);
                });
                drop(serving);
            }
            Err(error) => {
                if error.kind() != Kind::Closed {
                    server.ledger.violation(format!("accept: {error}"));
                }
                return;
            }
        }
    }
}

/// How a connection ended, and of whom it was, if that was ever said.
async fn serve(stream: &TcpStream, server: &Server) {
    let running = server.ledger.begin("served");
    let mut connection = Connection {
        stream,
        server,
        incoming: Incoming::new(false),
        outgoing: Outgoing::default(),
        of: None,
        next: 0,
        idle: IDLE,
    };
    let bad = connection.serve().await;
    let of = connection.of;
    running.end(server.judge(bad, of));
}

struct Connection<'a> {
    stream: &'a TcpStream,
    server: &'a Server,
    incoming: Incoming,
    outgoing: Outgoing,
    of: Option<Identity>,
    next: u64,
    idle: Duration,
}

/// Why the server ends a connection itself.
enum Ended {
    Asked(&'static str),
    Bad(Bad),
}

impl Connection<'_> {
    async fn serve(&mut self) -> Ended {
        self.stream.set_timeout(Some(IDLE)).expect("open");
        loop {
            let frame = match self.incoming.frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => match self.read().await {
                    Ok(()) => continue,
                    Err(bad) => return Ended::Bad(bad),
                },
                Err(bad) => return Ended::Bad(bad),
            };
            let identity = Identity::from_word(frame.identity);
            let of = *self.of.get_or_insert(identity);
            if self.next == 0 {
                self.suspect(of);
            }
            if identity != of || frame.sequence != self.next {
                let (next, what) = (self.next, "a frame of another connection, or out of order");
                return Ended::Bad(Bad::Astray(format!(
                    "{what}: {frame:?} on that of {of:?}, at {next}"
                )));
            }
            self.next += 1;
            if let Wish::Later(us) = frame.wish {
                self.wait(Duration::from_micros(u64::from(us))).await;
            }
            if frame.wants_answer() {
                self.outgoing.push(frame.answered());
                while !self.outgoing.is_empty() {
                    if let Err(bad) = self.write().await {
                        return Ended::Bad(bad);
                    }
                }
            }
            match frame.wish {
                Wish::Bye => return Ended::Asked("bye"),
                Wish::Reset => {
                    self.stream.set_linger(Some(Duration::ZERO)).expect("open");
                    return Ended::Asked("reset as asked");
                }
                _ => {}
            }
        }
    }

    fn suspect(&mut self, of: Identity) {
        let faults = of.faults(self.server.slots, self.server.seed);
        if faults.any(|fault| matches!(fault, Fault::Stall(_))) {
            self.idle = STALLED;
            self.stream.set_timeout(Some(STALLED)).expect("open");
        }
    }

    async fn wait(&self, duration: Duration) {
        let armed_ns = now_ns();
        sleep(duration).await;
        let passed = since(armed_ns);
        if passed < duration {
            self.server.ledger.violation(format!("early: a sleep of {duration:?} after {passed:?}"));
        }
    }

    async fn read(&mut self) -> Result<(), Bad> {
        let armed_ns = now_ns();
        let result = self.incoming.read(self.stream).await;
        if let Err(Bad::Failed(error)) = &result
            && error.is_timeout()
        {
            self.server.ledger.timed_out("a server's read", armed_ns, self.idle, error);
        }
        result
    }

    async fn write(&mut self) -> Result<(), Bad> {
        let armed_ns = now_ns();
        let result = self.outgoing.write(self.stream).await;
        if let Err(error) = &result
            && error.is_timeout()
        {
            self.server.ledger.timed_out("a server's write", armed_ns, self.idle, error);
        }
        result.map_err(Bad::Failed)
    }
}

impl Server {
    /// The name of the ending; what cannot have been the network's or the client's doing is a violation.
    fn judge(&self, ended: Ended, of: Option<Identity>) -> &'static str {
        let bad = match ended {
            Ended::Asked(how) => return how,
            Ended::Bad(bad) => bad,
        };
        let faults = of.map(|of| of.faults(self.slots, self.seed));
        let corrupt = faults.map(|faults| faults.any(|fault| matches!(fault, Fault::Corrupt(_))));
        match bad {
            Bad::End => "end",
            Bad::Torn => "torn",
            Bad::Damaged => {
                match corrupt {
                    Some(true) => {}
                    Some(false) => self.ledger.violation(format!("damaged without a fault: {of:?}")),
                    None => self.unknown.set(self.unknown.get() + 1),
                }
                "damaged"
            }
            Bad::Astray(what) => {
                self.ledger.violation(format!("misdelivered: {what}"));
                "astray"
            }
            Bad::Failed(error) => {
                let idle = faults.is_none_or(|faults| faults.any(|fault| fault != Fault::None));
                let fine = match error.kind() {
                    Kind::Kernel(errno) => errno == rig::ECONNRESET || errno == rig::EPIPE,
                    Kind::Timeout => idle,
                    _ => false,
                };
                if !fine {
                    self.ledger
                        .violation(format!("the server's end of {of:?} with {faults:?}: {error}"));
                }
                ending(error.kind())
            }
        }
    }
}

/// What of a map is there, as a sum.
pub(crate) fn sum_of(counts: &BTreeMap<String, BTreeMap<String, u64>>, ending: &str) -> u64 {
    counts.values().filter_map(|endings| endings.get(ending)).sum()
}
