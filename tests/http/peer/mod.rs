//! A peer that does what a script says, byte by byte: over the standard library, on threads of its own, so that nothing
//! under test is part of it.
//!
//! ```no_run
//! use punctual_tests_http::peer::Peer;
//!
//! // Answers one request on each connection, and closes in the middle of the second.
//! let peer = Peer::start(|_, connection| {
//!     connection.request()?;
//!     connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
//!     connection.head()?;
//!     connection.reset()
//! });
//! println!("http://{}/ has seen {:?}", peer.address, peer.seen());
//! ```
//!
//! A script ends when it returns; then its connection is closed. An error in it (the client went away) ends it
//! too. Nothing waits for ever: what the client does not do within 20 s is an error, and all is over when the
//! [`Peer`] is dropped. For HTTP/2 see [`http2`].

pub mod http2;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::rig::now_ns;

/// How long a script waits for the client at most.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on loopback whose connections are scripted.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    log: Mutex<Log>,
    news: Condvar,
}

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    /// To be shut down at the end, by number.
    open: Vec<(usize, TcpStream)>,
    scripts: Vec<JoinHandle<()>>,
}

/// What a peer saw, and when by the tests' own clock.
#[derive(Clone, Debug)]
pub struct Seen {
    /// On which connection, from 0.
    pub connection: usize,
    /// When it was seen.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// What a peer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection.
    Connected,
    /// A request, whole, as [`Connection::request`] takes them; or its head, as [`Connection::head`] does.
    Request(Request),
    /// The client has closed its side.
    Closed,
    /// The client has reset the connection.
    Reset,
    /// Anything that a script [notes](Connection::note).
    Note(String),
    /// A script has come to its end.
    Ended,
}

/// A request as it was on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The request line and the headers, with the blank line that ends them.
    pub head: String,
    /// What came after it, as far as it belongs to it; chunks put together.
    pub body: Vec<u8>,
}

impl Request {
    /// As `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// As `/path?query`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Peer {
    /// On a free port. `script` is run for each connection, with its number from 0, on a thread of its own.
    ///
    /// # Panics
    /// Without sockets or threads.
    pub fn start(
        script: impl Fn(usize, &mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let (script, shared_there) = (Arc::new(script), shared.clone());
        let thread = std::thread::spawn(move || accept(&listener, &script, &shared_there));
        Peer { address, shared, thread: Some(thread) }
    }

    /// `http://127.0.0.1:…` and `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that has been seen so far, in the order in which it was.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.log().seen.clone()
    }

    /// The requests of it.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.seen().into_iter().filter_map(|seen| match seen.what {
            What::Request(request) => Some(request),
            _ => None,
        });
        requests.collect()
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen().iter().filter(|seen| seen.what == What::Connected).count()
    }

    /// Waits, with the whole thread, until something of it is `wanted`, and returns it. From within a runtime call it
    /// only for what the client has already done.
    ///
    /// # Panics
    /// If it does not come within [`PATIENCE`].
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let log = self.shared.log();
        let missing = |log: &mut Log| !log.seen.iter().any(&wanted);
        let (log, waited) = self
            .shared
            .news
            .wait_timeout_while(log, PATIENCE, missing)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "it was not seen within {PATIENCE:?}; what was: {:#?}", log.seen);
        log.seen.iter().find(|seen| wanted(seen)).cloned().expect("it is there")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        let (open, scripts) = {
            let mut log = self.shared.log();
            (std::mem::take(&mut log.open), std::mem::take(&mut log.scripts))
        };
        for (_, stream) in open {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let panicked = scripts.into_iter().map(JoinHandle::join).chain(ended).any(|end| end.is_err());
        if panicked && !std::thread::panicking() {
            panic!("a script has panicked");
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, connection: usize, what: What) {
        self.log().seen.push(Seen { connection, at_ns: now_ns(), what });
        self.news.notify_all();
    }
}

fn accept<S>(listener: &TcpListener, script: &Arc<S>, shared: &Arc<Shared>)
where
    S: Fn(usize, &mut Connection) -> io::Result<()> + Send + Sync + 'static,
{
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else { return };
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        let Ok(again) = stream.try_clone() else { return };
        let mut connection = Connection { stream, number, shared: shared.clone(), pending: Vec::new() };
        shared.saw(number, What::Connected);
        let script = script.clone();
        let run = move || {
            // What ends a script early is the client's doing, and what the client did is in the log.
            let _ = connection.ready().and_then(|()| script(number, &mut connection));
            connection.shared.log().open.retain(|(other, _)| *other != number);
            connection.shared.saw(number, What::Ended);
        };
        let mut log = shared.log();
        log.open.push((number, again));
        log.scripts.push(std::thread::spawn(run));
    }
}

/// A connection in the hands of a script.
pub struct Connection {
    /// The socket itself.
    pub stream: TcpStream,
    /// Its number, from 0.
    pub number: usize,
    shared: Arc<Shared>,
    /// What was read and has not been asked for yet.
    pending: Vec<u8>,
}

impl Connection {
    fn ready(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))
    }

    /// Puts something of one's own in the peer's log.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.saw(self.number, What::Note(text.into()));
    }

    /// Reads the head of a request, up to its blank line, and puts it in the log.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn head(&mut self) -> io::Result<Request> {
        let head = self.read_head()?;
        let request = Request { head, body: Vec::new() };
        self.shared.saw(self.number, What::Request(request.clone()));
        Ok(request)
    }

    /// Reads a request whole, its body too, and puts it in the log.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn request(&mut self) -> io::Result<Request> {
        let head = self.read_head()?;
        let mut request = Request { head, body: Vec::new() };
        self.body(&mut request)?;
        self.shared.saw(self.number, What::Request(request.clone()));
        Ok(request)
    }

    /// Reads the body that belongs to a head.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn body(&mut self, request: &mut Request) -> io::Result<()> {
        if request.header("transfer-encoding").is_some() {
            loop {
                let line = self.until(b"\r\n")?;
                let digits = String::from_utf8_lossy(&line).trim().to_owned();
                let size = usize::from_str_radix(&digits, 16).map_err(io::Error::other)?;
                request.body.extend(self.exactly(size)?);
                self.until(b"\r\n")?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        request.body = self.exactly(length.unwrap_or(0))?;
        Ok(())
    }

    fn read_head(&mut self) -> io::Result<String> {
        let head = self.until(b"\r\n\r\n")?;
        String::from_utf8(head).map_err(io::Error::other)
    }

    /// Reads up to and including `mark`.
    ///
    /// # Errors
    /// If the client ended instead.
    pub fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.pending.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.pending.drain(..at + mark.len()).collect());
            }
            self.more()?;
        }
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// If the client ended before.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < length {
            self.more()?;
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.shared.saw(self.number, What::Closed);
                Err(ErrorKind::UnexpectedEof.into())
            }
            Ok(length) => {
                self.pending.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::ConnectionReset {
                    self.shared.saw(self.number, What::Reset);
                }
                Err(error)
            }
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a few bytes at a time.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn drip(&mut self, bytes: impl AsRef<[u8]>, at_once: usize, every: Duration) -> io::Result<()> {
        for part in bytes.as_ref().chunks(at_once) {
            self.send(part)?;
            self.pause(every);
        }
        Ok(())
    }

    /// Whether the [`Peer`] has been dropped: for a script that waits without reading.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }

    /// Does nothing for a while, and does not read either.
    pub fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    /// Reads and drops whatever comes until the client ends, and puts in the log how it did.
    ///
    /// # Errors
    /// If it does not.
    pub fn ended(&mut self) -> io::Result<()> {
        loop {
            self.pending.clear();
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Says that this was all, and goes on reading.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Resets the connection: nothing more can be done with it.
    ///
    /// # Errors
    /// None that matter.
    pub fn reset(&mut self) -> io::Result<()> {
        // The other descriptor would keep it open.
        self.shared.log().open.retain(|(number, _)| *number != self.number);
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Err(ErrorKind::ConnectionReset.into())
    }
}
