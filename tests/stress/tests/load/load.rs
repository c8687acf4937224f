//! [`Load`]: clients that ask, a server that echoes, and what each of them may see.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::zip;
use punctual::net::{Connect, Error, Kind, TcpListener, TcpStream};
use punctual::{JoinHandle, sleep, spawn};

use punctual_tests_stress::proxy::{Fault, FaultProxy, Faults, NARROW};
use punctual_tests_stress::rig::{ECONNRESET, EPIPE, MS, PATIENCE, now_ns, since};

const CLIENTS: u64 = 24;
/// Of a message, as in the test of Go that this has its shape from.
const MESSAGE: usize = 512;
/// Of a message that fills the buffers between the two ends.
const LARGE: usize = 256 * 1024;
/// The longest that a client waits for one step, until it is patient.
const BOUND_MAX: u64 = 60_000;
/// What the server gives a client to say something, or to take something, until it is patient.
const IDLE: Duration = Duration::from_secs(2);

pub(super) struct Load {
    shared: Rc<Shared>,
    clients: RefCell<Vec<JoinHandle<()>>>,
    server: RefCell<Option<JoinHandle<()>>>,
}

struct Shared {
    proxy: FaultProxy,
    seed: u64,
    patient: Cell<bool>,
    healed: Cell<bool>,
    /// Connections that the server still holds.
    held: Cell<u32>,
    tally: RefCell<BTreeMap<String, u64>>,
}

impl Shared {
    fn count(&self, what: impl Into<String>) {
        *self.tally.borrow_mut().entry(what.into()).or_default() += 1;
    }

    /// O1: runs `operation`, which was given `bound`, and sees that a timeout is not early.
    async fn within<T>(
        &self,
        who: &str,
        bound: Duration,
        operation: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let armed = now_ns();
        let result = operation().await;
        let passed = since(armed);
        if let Err(error) = &result {
            self.count(format!("{who} {:?} {:?}", error.phase(), error.kind()));
            if error.is_timeout() {
                assert!(passed >= bound, "early: {passed:?} of {bound:?}: {error}; seed {}", self.seed);
            }
        }
        result
    }
}

impl Load {
    pub(super) fn start(listener: TcpListener, proxy: FaultProxy, seed: u64) -> Load {
        let shared = Rc::new(Shared {
            proxy,
            seed,
            patient: Cell::new(false),
            healed: Cell::new(false),
            held: Cell::new(0),
            tally: RefCell::default(),
        });
        let server = spawn(serve(listener, shared.clone()));
        let clients = (0..CLIENTS).map(|number| spawn(client(number, shared.clone()))).collect();
        Load { shared, clients: RefCell::new(clients), server: RefCell::new(Some(server)) }
    }

    pub(super) fn be_patient(&self) {
        self.shared.patient.set(true);
    }

    pub(super) fn set_silent(&self, silent: bool) {
        self.shared.proxy.set_silent(silent);
    }

    pub(super) fn heal(&self) {
        self.shared.proxy.heal();
        self.shared.healed.set(true);
    }

    /// O2, O7: every client ends what it has begun, and manages one connection without any trouble; and the server
    /// has noticed the end of each.
    pub(super) async fn finish(&self) {
        for client in self.clients.take() {
            client.await.expect("no client panics");
        }
        while self.shared.held.get() > 0 {
            sleep(MS).await;
        }
        if let Some(server) = self.server.take() {
            server.abort();
            assert!(server.await.is_err_and(|error| error.is_aborted()), "the server goes on for ever");
        }
    }

    /// A load that met no fault, or saw no effect of one, has shown nothing.
    pub(super) fn saw_everything(&self) {
        let tally = self.shared.tally.borrow();
        let effects = [
            "client Read Timeout",
            "client Write Timeout",
            "server Read Timeout",
            "client Read UnexpectedEof",
            "client Read Kernel(104)",
            "went on after a timeout",
            "corrupted",
            "finished",
            "finished after it had healed",
            "finished last",
        ];
        let seed = self.shared.seed;
        for (kind, done) in self.shared.proxy.done() {
            assert!(done > 0, "never done: {kind}; seed {seed}");
        }
        for what in effects {
            assert!(tally.contains_key(what), "never seen: {what}; seed {seed}: {tally:#?}");
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.tally.borrow().iter().try_for_each(|(what, count)| writeln!(f, "{count:>8} {what}"))
    }
}

/// Sends back whatever comes, on every connection.
async fn serve(listener: TcpListener, shared: Rc<Shared>) {
    listener.set_timeout(Some(20 * MS)).expect("open");
    loop {
        match shared.within("server", 20 * MS, async || listener.accept().await).await {
            Ok((stream, _)) => {
                shared.held.set(shared.held.get() + 1);
                let shared = shared.clone();
                drop(spawn(async move {
                    echo(stream, &shared).await;
                    shared.held.set(shared.held.get() - 1);
                }));
            }
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
    }
}

async fn echo(stream: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 16 * 1024];
    let ended = loop {
        let idle = if shared.patient.get() { PATIENCE } else { IDLE };
        stream.set_timeout(Some(idle)).expect("open");
        let bytes = match shared.within("server", idle, async || stream.read(&mut buffer).await).await {
            Ok(0) => return,
            Ok(bytes) => &buffer[..bytes],
            Err(error) => break error,
        };
        if let Err(error) = shared.within("server", idle, async || stream.write_all(bytes).await).await {
            break error;
        }
    };
    // The client gives up as it likes.
    let fine = matches!(ended.kind(), Kind::Timeout | Kind::Kernel(ECONNRESET | EPIPE));
    assert!(fine, "{ended}; seed {}", shared.seed);
}

/// Connects again and again until the network has healed, and then once more.
async fn client(number: u64, shared: Rc<Shared>) {
    let mut rng = Rng::with_seed(shared.seed ^ (number << 32));
    while !shared.healed.get() {
        connection(&mut rng, &shared).await;
    }
    let clean = connection(&mut rng, &shared).await;
    assert!(clean, "a connection begun after it had healed did not finish; seed {}", shared.seed);
    shared.count("finished last");
}

/// One connection; whether it finished.
async fn connection(rng: &mut Rng, shared: &Shared) -> bool {
    let healed = shared.healed.get();
    let connect = Connect::to(shared.proxy.addresses()[0]).timeout(PATIENCE);
    let stream = shared.within("client", PATIENCE, async || connect.await).await;
    let stream = stream.expect("the proxy is there");
    let narrow = stream.with_socket(|socket| socket.set_send_buffer_size(NARROW));
    narrow.expect("open").expect("set");
    let local = stream.local_addr().expect("open");
    let mut conversation = Conversation { stream, shared, salt: rng.u64(..), offset: 0 };
    let patient_from_the_start = shared.patient.get();
    let ended = conversation.talk(rng).await;
    drop(conversation);
    let faults = if healed { Faults::NONE } else { Faults::drawn_by_port(shared.seed, local) };
    judge(&ended, faults, patient_from_the_start, shared);
    matches!(ended, Ok(()))
}

/// How a conversation fails.
#[derive(Debug)]
enum Ended {
    Failed(Error),
    /// So many bytes were others than were sent.
    Corrupted(usize),
}

/// O3: what ended it is what was done to it.
fn judge(ended: &Result<(), Ended>, faults: Faults, patient: bool, shared: &Shared) {
    let met = |which: fn(Fault) -> bool| faults.any(which);
    // One end may have given up on it, but not one that is patient.
    let stalled = !patient && met(|fault| matches!(fault, Fault::Stall(_)));
    let right = match ended {
        Ok(()) => {
            shared.count(if shared.healed.get() { "finished after it had healed" } else { "finished" });
            true
        }
        Err(Ended::Corrupted(bytes)) => {
            shared.count("corrupted");
            *bytes == 1 && met(|fault| matches!(fault, Fault::Corrupt(_)))
        }
        Err(Ended::Failed(error)) => match error.kind() {
            // A busy machine is slow too.
            Kind::Timeout => !patient,
            Kind::UnexpectedEof => stalled || met(|fault| matches!(fault, Fault::HalfClose(_))),
            Kind::Kernel(ECONNRESET | EPIPE) => {
                stalled || met(|fault| matches!(fault, Fault::Reset(_) | Fault::HalfClose(_)))
            }
            _ => false,
        },
    };
    assert!(right, "{ended:?} of a connection with {faults:?}; seed {}", shared.seed);
}

struct Conversation<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    salt: u64,
    /// How much has been asked and answered.
    offset: usize,
}

impl Conversation<'_> {
    async fn talk(&mut self, rng: &mut Rng) -> Result<(), Ended> {
        for _ in 0..rng.u32(4..24) {
            let length = if rng.u8(..16) == 0 { LARGE } else { MESSAGE };
            self.exchange(length, rng).await?;
        }
        Ok(())
    }

    /// A time for one step.
    fn bound(&self, rng: &mut Rng) -> Duration {
        if self.shared.patient.get() { PATIENCE } else { Duration::from_micros(rng.u64(200..BOUND_MAX)) }
    }

    /// Asks, and sees that the answer is the same. Both at once: the echo does not wait for the whole of a message.
    async fn exchange(&mut self, length: usize, rng: &mut Rng) -> Result<(), Ended> {
        let message = self.message(length);
        let (write_bound, bounds) =
            (self.bound(rng), [self.bound(rng), self.bound(rng), self.bound(rng)]);
        let asking = async {
            self.stream.set_write_timeout(Some(write_bound)).expect("open");
            self.shared
                .within("client", write_bound, async || self.stream.write_all(&message).await)
                .await
        };
        let mut answer = vec![0; length];
        let (asked, answered) = zip(asking, self.receive(&mut answer, bounds)).await;
        let received = answered.as_ref().map_or_else(|(_, received)| *received, |()| length);
        let sent = asked.as_ref().map_or_else(|error| error.transferred() as usize, |()| length);
        // O6: in order, and no more than was taken.
        assert!(received <= sent, "{received} of {sent} bytes came back; seed {}", self.shared.seed);
        let wrong = (0..received).filter(|&at| answer[at] != message[at]).count();
        if wrong > 0 {
            return Err(Ended::Corrupted(wrong));
        }
        asked.map_err(Ended::Failed)?;
        answered.map_err(|(error, _)| Ended::Failed(error))?;
        self.offset += length;
        Ok(())
    }

    /// Reads all of `answer`, and goes on after a timeout where it was, as often as there are bounds. With its failure, how
    /// much had been read.
    async fn receive(&self, answer: &mut [u8], bounds: [Duration; 3]) -> Result<(), (Error, usize)> {
        let mut received = 0;
        let mut failed = None;
        for bound in bounds {
            self.stream.set_read_timeout(Some(bound)).expect("open");
            let rest = &mut answer[received..];
            match self.shared.within("client", bound, async || self.stream.read_exact(rest).await).await
            {
                Ok(()) => {
                    if failed.is_some() {
                        self.shared.count("went on after a timeout");
                    }
                    return Ok(());
                }
                Err(error) => {
                    received += error.transferred() as usize;
                    let over = !error.is_timeout();
                    failed = Some(error);
                    if over {
                        break;
                    }
                }
            }
        }
        Err((failed.expect("there was at least one bound"), received))
    }

    /// Bytes that repeat nowhere near, and are another connection's nowhere.
    fn message(&self, length: usize) -> Vec<u8> {
        let byte = |at: usize| {
            let mixed = (self.salt ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 56) as u8
        };
        (self.offset..self.offset + length).map(byte).collect()
    }
}
