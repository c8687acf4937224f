//! Pairs of connected streams, one interface for TCP and Unix, and what a socket looks like to the kernel.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use punctual::net::{Duplex, Error, Kind, TcpListener, TcpStream, UnixStream, duplex, transport};
use punctual::reactor::{Direction, Failure};
use punctual::{Handle, Instant, Runtime, Token, VirtualClock, spawn};
use socket2::{Domain, SockRef, Socket, Type};

use super::{MS, for_each_alarm, now_ns, virtual_runtime, watchdog};

/// Longer than any test's bounds: if it is reached, something never ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What ended an operation, told apart as the policies do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Timeout,
    Cancelled,
    Closed,
    Shutdown,
    Errno(i32),
    Other,
}

impl From<&Error> for Class {
    fn from(error: &Error) -> Class {
        match error.kind() {
            Kind::Timeout => Class::Timeout,
            Kind::Cancelled => Class::Cancelled,
            Kind::Closed => Class::Closed,
            Kind::Shutdown => Class::Shutdown,
            Kind::Kernel(errno) => Class::Errno(errno),
            _ => Class::Other,
        }
    }
}

impl From<&Failure> for Class {
    fn from(failure: &Failure) -> Class {
        match failure {
            Failure::Elapsed(_) => Class::Timeout,
            Failure::Cancelled(_) => Class::Cancelled,
            Failure::Closed => Class::Closed,
            Failure::Shutdown => Class::Shutdown,
            Failure::Io(error) => Class::Errno(error.raw_os_error().unwrap_or(0)),
            _ => Class::Other,
        }
    }
}

/// One end of a connected pair of byte streams.
pub(crate) trait End: 'static {
    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Class>;
    async fn send(&self, bytes: &[u8]) -> Result<usize, Class>;
    fn by(&self, side: Direction, deadline: Option<Instant>) -> Result<(), Class>;
    fn within(&self, side: Direction, timeout: Option<Duration>) -> Result<(), Class>;
    fn shut(&self);
    fn name(&self) -> Token;

    fn both_by(&self, deadline: Option<Instant>) -> Result<(), Class> {
        self.by(Direction::Read, deadline)?;
        self.by(Direction::Write, deadline)
    }

    /// Sends until the peer's window is full; returns how many bytes that were.
    async fn fill(&self) -> usize {
        fill(self).await
    }

    /// Sends all of `bytes`.
    async fn send_all(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let sent = self.send(bytes).await.expect("sent");
            bytes = &bytes[sent..];
        }
    }

    /// Receives exactly `length` bytes.
    async fn recv_exactly(&self, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.recv(&mut buffer[filled..]).await.expect("received") {
                0 => panic!("the end after {filled} of {length} bytes"),
                received => filled += received,
            }
        }
        buffer
    }
}

/// Sends until nothing more is taken.
pub(crate) async fn fill<E: End + ?Sized>(end: &E) -> usize {
    let chunk = vec![0x5a; 256 * 1024];
    let mut filled = 0;
    end.within(Direction::Write, Some(Duration::from_millis(30))).expect("open");
    loop {
        match end.send(&chunk).await {
            Ok(sent) => filled += sent,
            Err(Class::Timeout) => break,
            Err(other) => panic!("filling: {other:?}"),
        }
    }
    end.within(Direction::Write, None).expect("open");
    filled
}

impl<T: transport::StreamTransport> End for punctual::net::Socket<T> {
    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Class> {
        self.read(buffer).await.map_err(|error| Class::from(&error))
    }

    async fn send(&self, bytes: &[u8]) -> Result<usize, Class> {
        self.write(bytes).await.map_err(|error| Class::from(&error))
    }

    fn by(&self, side: Direction, deadline: Option<Instant>) -> Result<(), Class> {
        let set = match side {
            Direction::Read => self.set_read_deadline(deadline),
            Direction::Write => self.set_write_deadline(deadline),
        };
        set.map_err(|error| Class::from(&error))
    }

    fn within(&self, side: Direction, timeout: Option<Duration>) -> Result<(), Class> {
        let set = match side {
            Direction::Read => self.set_read_timeout(timeout),
            Direction::Write => self.set_write_timeout(timeout),
        };
        set.map_err(|error| Class::from(&error))
    }

    fn shut(&self) {
        self.close();
    }

    fn name(&self) -> Token {
        self.token()
    }
}

/// Runs `body` on both alarms, and holds the runtime against its baseline afterwards: nothing early, no
/// source, timer, wheel entry or task left.
pub(crate) fn on_alarms(what: &'static str, body: impl AsyncFn(&Runtime) + Sync) {
    for_each_alarm(|runtime| {
        let _watchdog = watchdog(what, PATIENCE / 10);
        HANDLE.set(Some(runtime.handle()));
        runtime.block_on(body(runtime));
        assert_baseline(runtime);
    });
}

thread_local! {
    static HANDLE: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The handle of the runtime that [`on_alarms`] runs on this thread.
pub(crate) fn runtime_handle() -> Handle {
    HANDLE.with_borrow(|handle| handle.clone()).expect("within on_alarms")
}

/// As [`on_alarms`], on a virtual clock, which jumps as long as nothing waits for the kernel.
pub(crate) fn on_virtual_clock(what: &'static str, body: impl AsyncFn(&Runtime)) {
    let _watchdog = watchdog(what, PATIENCE / 10);
    let (runtime, clock) = virtual_runtime();
    HANDLE.set(Some(runtime.handle()));
    CLOCK.set(Some(clock));
    runtime.block_on(body(&runtime));
    CLOCK.set(None);
    assert_baseline(&runtime);
}

thread_local! {
    static CLOCK: RefCell<Option<VirtualClock>> = const { RefCell::new(None) };
}

/// The clock that the runtime of this thread ought to live by: the virtual one within [`on_virtual_clock`], else
/// the kernel's.
pub(crate) fn clock_ns() -> u64 {
    CLOCK.with_borrow(|clock| clock.as_ref().map_or_else(now_ns, |clock| clock.now().as_nanos()))
}

pub(crate) fn in_virtual_time() -> bool {
    CLOCK.with_borrow(Option::is_some)
}

/// O1: `bound` has passed since a moment at which nothing was armed yet; on a virtual clock to the nanosecond.
#[track_caller]
pub(crate) fn assert_passed(armed_after_ns: u64, bound: Duration) {
    let passed = Duration::from_nanos(clock_ns() - armed_after_ns);
    assert!(passed >= bound, "early: {passed:?} of {bound:?}");
    if in_virtual_time() {
        assert_eq!(passed, bound, "late on a virtual clock");
    }
}

/// O4, as far as a runtime can see.
pub(crate) fn assert_baseline(runtime: &Runtime) {
    // Tasks whose last reason to wait has just gone need a turn to end.
    for _ in 0..100 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let metrics = runtime.metrics();
    let live =
        (metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries, metrics.live_tasks);
    assert_eq!(live, (0, 0, 0, 0), "sources, timers, wheel entries, tasks left: {runtime:?}");
    assert_eq!(metrics.live_scopes, 0, "scopes left: {runtime:?}");
    let waits = runtime.waits();
    assert!(waits.is_empty(), "still waiting: {waits:?}");
    assert_eq!(metrics.early, 0);
}

/// Runs a body that is generic over its two ends on TCP, on Unix streams and in memory, on both alarms; in memory
/// on a virtual clock too.
macro_rules! on_pairs {
    ($body:ident) => {
        $crate::support::net::on_alarms(concat!(stringify!($body), " on TCP"), async |_| {
            let (left, right) = $crate::support::net::tcp_pair().await;
            $body(left, right).await;
        });
        $crate::support::net::on_alarms(concat!(stringify!($body), " on Unix streams"), async |_| {
            let (left, right) = $crate::support::net::unix_pair();
            $body(left, right).await;
        });
        $crate::support::net::on_alarms(concat!(stringify!($body), " in memory"), async |_| {
            let (left, right) = $crate::support::net::memory_pair();
            $body(left, right).await;
        });
        $crate::support::net::on_virtual_clock(
            concat!(stringify!($body), " in virtual time"),
            async |_| {
                let (left, right) = $crate::support::net::memory_pair();
                $body(left, right).await;
            },
        );
    };
}
pub(crate) use on_pairs;

/// A stream transport of which the tests can have pairs.
pub(crate) trait Pair: transport::StreamTransport {
    async fn pair() -> (punctual::net::Socket<Self>, punctual::net::Socket<Self>);

    /// Sets an option of the kernel's, where there are such.
    fn set_option(_: &punctual::net::Socket<Self>) -> Option<Result<(), Error>> {
        None
    }
}

impl Pair for transport::Tcp {
    async fn pair() -> (TcpStream, TcpStream) {
        tcp_pair().await
    }

    fn set_option(stream: &TcpStream) -> Option<Result<(), Error>> {
        Some(stream.set_recv_buffer_size(1 << 16))
    }
}

impl Pair for transport::Unix {
    async fn pair() -> (UnixStream, UnixStream) {
        unix_pair()
    }

    fn set_option(stream: &UnixStream) -> Option<Result<(), Error>> {
        Some(stream.set_recv_buffer_size(1 << 16))
    }
}

impl Pair for transport::Memory {
    async fn pair() -> (Duplex, Duplex) {
        memory_pair()
    }
}

/// Runs a body that is generic over its [`Pair`]s on TCP, on Unix streams and in memory, on both alarms; in memory
/// on a virtual clock too.
macro_rules! on_streams {
    ($body:ident) => {
        $crate::support::net::on_alarms(concat!(stringify!($body), " on TCP"), async |runtime| {
            $body::<punctual::net::transport::Tcp>(runtime).await;
        });
        $crate::support::net::on_alarms(
            concat!(stringify!($body), " on Unix streams"),
            async |runtime| {
                $body::<punctual::net::transport::Unix>(runtime).await;
            },
        );
        $crate::support::net::on_alarms(concat!(stringify!($body), " in memory"), async |runtime| {
            $body::<punctual::net::transport::Memory>(runtime).await;
        });
        $crate::support::net::on_virtual_clock(
            concat!(stringify!($body), " in virtual time"),
            async |runtime| {
                $body::<punctual::net::transport::Memory>(runtime).await;
            },
        );
    };
}
pub(crate) use on_streams;

/// A listener on a port of its own.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// The two ends of one TCP connection: who connected, who accepted.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let accepting = spawn(async move { listener.accept().await });
    let client = TcpStream::connect(address).await.expect("connected");
    let (server, _) = accepting.await.expect("no panic").expect("accepted");
    (client, server)
}

/// The same with small buffers in the kernel, so that a window is soon full.
pub(crate) async fn small_tcp_pair() -> (TcpStream, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("set");
    socket.set_send_buffer_size(32 * 1024).expect("set");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(8).expect("listening");
    let listener = TcpListener::from_std(socket.into()).expect("registered");
    let address = listener.local_addr().expect("its address");
    let accepting = spawn(async move { listener.accept().await });
    let client = std::net::TcpStream::connect(address).expect("connected");
    SockRef::from(&client).set_recv_buffer_size(32 * 1024).expect("set");
    SockRef::from(&client).set_send_buffer_size(32 * 1024).expect("set");
    let (server, _) = accepting.await.expect("no panic").expect("accepted");
    (TcpStream::from_std(client).expect("registered"), server)
}

/// A listener whose queue takes one connection and no more, not accepted from: the next SYN is not answered.
/// The connection that fills it is kept beside it.
pub(crate) fn deaf_listener() -> (std::net::TcpListener, SocketAddr, std::net::TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(0).expect("listening");
    let listener: std::net::TcpListener = socket.into();
    let address = listener.local_addr().expect("its address");
    let filler = std::net::TcpStream::connect(address).expect("the first is taken");
    (listener, address, filler)
}

/// An address at which nobody listens, and nobody can as long as the socket that holds it lives.
pub(crate) fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    (socket, address.expect("its address"))
}

/// Looks until `left` says nothing more, and fails if that does not come soon. A child that another test starts has a copy of
/// every descriptor of ours from its fork to its exec, and keeps what they are of alive so long.
#[track_caller]
fn soon_without(what: &str, mut left: impl FnMut() -> Option<String>) {
    let began = now_ns();
    while let Some(left) = left() {
        let waited = Duration::from_nanos(now_ns() - began);
        assert!(waited < PATIENCE / 4, "{what} for {waited:?}: {left}");
        std::thread::sleep(MS);
    }
}

/// Sees that the listener that `address` had is closed, soon.
#[track_caller]
pub(crate) fn assert_closed(address: SocketAddr) {
    let accepted = || std::net::TcpStream::connect(address).ok();
    soon_without("it still listens", || accepted().map(|_| address.to_string()));
}

/// O1: `operation` ends with a timeout, and not before `bound` after a moment at which nothing was armed yet.
pub(crate) async fn times_out<T: std::fmt::Debug>(
    armed_after_ns: u64,
    bound: Duration,
    operation: impl Future<Output = Result<T, Class>>,
) {
    let result = operation.await;
    assert_eq!(result.as_ref().err(), Some(&Class::Timeout), "{result:?} of {bound:?}");
    assert_passed(armed_after_ns, bound);
}

/// One line of `/proc/self/net/tcp`: a socket of this network namespace.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelSocket {
    pub local_port: u16,
    pub peer_port: u16,
    pub state: u8,
    /// 0 if no process holds it.
    pub inode: u64,
}

pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const FIN_WAIT2: u8 = 5;
pub(crate) const CLOSE_WAIT: u8 = 8;

/// What the kernel has of IPv4 TCP sockets with `port` at either end.
pub(crate) fn kernel_sockets(port: u16) -> Vec<KernelSocket> {
    let ours = |socket: &KernelSocket| socket.local_port == port || socket.peer_port == port;
    all_kernel_sockets().into_iter().filter(ours).collect()
}

/// What the kernel has of IPv4 TCP sockets.
pub(crate) fn all_kernel_sockets() -> Vec<KernelSocket> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("/proc");
    let sockets = table.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(&field[field.len() - 4..], 16).expect("a port");
        KernelSocket {
            local_port: port(fields[1]),
            peer_port: port(fields[2]),
            state: u8::from_str_radix(fields[3], 16).expect("a state"),
            inode: fields[9].parse().expect("an inode"),
        }
    });
    // A table that changes while it is read repeats itself.
    sockets.collect::<BTreeSet<_>>().into_iter().collect()
}

/// O4: sees that no descriptor of this process is of a socket that `which` picks, now; and that soon the kernel has
/// none either that anybody holds.
#[track_caller]
pub(crate) fn assert_released(port: u16, which: impl Fn(&KernelSocket) -> bool) {
    soon_without("held by another process", || {
        let left = kernel_sockets(port).into_iter().filter(|socket| socket.inode != 0 && which(socket));
        let left: Vec<_> = left.collect();
        let here = descriptors_of_sockets();
        let ours: Vec<_> = left.iter().filter(|socket| here.contains(&socket.inode)).collect();
        assert!(ours.is_empty(), "this process holds {ours:?}");
        (!left.is_empty()).then(|| format!("{left:?}"))
    });
}

/// The sockets that descriptors of this process are of, by inode.
fn descriptors_of_sockets() -> BTreeSet<u64> {
    let all = std::fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let targets = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let inode = |target: std::path::PathBuf| {
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    };
    targets.filter_map(inode).collect()
}

/// The two ends of one Unix stream.
pub(crate) fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socket pair")
}

/// The two ends of one stream in memory, with less room than is written at once.
pub(crate) fn memory_pair() -> (Duplex, Duplex) {
    duplex(64 * 1024)
}
