//! Everything that waits is in the list, as what it is, and out of it when it has ended.

use super::*;

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;

use punctual::net::io::{Bounded, CopyOptions, copy_bidirectional};
use punctual::net::{
    Duplex, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, duplex,
};
use punctual::process::Command;
use punctual::reactor::{AsyncFd, pipe};
use punctual::signal::{SignalKind, signal};
use punctual::{
    Instant, JoinHandle, Unbounded, blocking, in_scope_as, in_scope_for, interval_at, scope,
    shutdown_requested, spawn_named, waits,
};

use crate::support::net::{End, PATIENCE, deaf_listener, fill, listen, on_alarms, unix_pair};
use crate::support::post::unix_name;
use crate::support::{now_ns, temporary};

use WaitClass::{Bounded as Until, Idle, Unbounded as Never};

type Waiting = Pin<Box<dyn Future<Output = ()>>>;
/// In which phase, what, of which class, and whether a guard around it can bound it.
type Line = (&'static str, &'static str, WaitClass);

/// One thing that waits: how it is begun anew each time, and the lines that are to be seen of it.
struct Case {
    lines: Vec<Line>,
    /// What a line has to say of the other side.
    subject: String,
    begin: Box<dyn Fn() -> Waiting>,
}

fn case<F: Future<Output = ()> + 'static>(
    lines: &[Line],
    subject: impl ToString,
    begin: impl Fn() -> F + 'static,
) -> Case {
    let mut lines = lines.to_vec();
    lines.sort();
    Case { lines, subject: subject.to_string(), begin: Box::new(move || Box::pin(begin())) }
}

/// Of one and the same name and class.
fn one(what: &'static str, class: WaitClass) -> [Line; 1] {
    [(what, what, class)]
}

/// Aborts what is joined when the join is given up.
struct Aborts(JoinHandle<()>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lines_of(waits: &Waits, task: &str) -> Vec<Line> {
    let mut lines: Vec<Line> =
        of_task(waits, task).map(|wait| (wait.phase(), wait.what(), wait.class())).collect();
    lines.sort();
    lines
}

fn of_task<'a>(waits: &'a Waits, task: &str) -> impl Iterator<Item = &'a Wait> {
    waits.iter().filter(move |wait| wait.task().is_some_and(|by| by.name.as_deref() == Some(task)))
}

/// Looks until a task's lines are these.
async fn until_listed(task: &str, lines: &[Line], what: &str) -> Waits {
    let patience = now_ns() + PATIENCE.as_nanos() as u64 / 2;
    loop {
        let now = waits();
        if lines_of(&now, task) == lines {
            return now;
        }
        assert!(now_ns() < patience, "{task}, {what}: not {lines:?} but\n{now}");
        sleep(MS).await;
    }
}

/// How one waits: by itself, in a timeout, in a scope without a deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Around {
    Nothing,
    Timeout,
    Unbounded,
}

impl Around {
    fn begin(self, inner: Waiting) -> Waiting {
        match self {
            Around::Nothing => inner,
            Around::Timeout => Box::pin(async { timeout(LONG, inner).await.expect("long enough") }),
            Around::Unbounded => Box::pin(async {
                let ended = scope("by choice", Unbounded, async |_| inner.await).await;
                drop(ended);
            }),
        }
    }

    /// What is to be seen of what is seen as `line` with nothing around it.
    fn line(self, line: Line) -> Line {
        match (self, line) {
            (Around::Timeout, ("unknown", ..)) => ("timeout", "timeout", Until),
            (Around::Timeout, (phase, what, _)) => (phase, what, Until),
            // The runtime does not know that it is in there.
            (_, ("unknown", ..)) | (Around::Nothing, _) => line,
            (Around::Unbounded, (phase, what, Never)) => (phase, what, WaitClass::Intended),
            (Around::Unbounded, line) => line,
        }
    }
}

/// Runs each in each way: begins it, sees its lines, ends it, sees them gone and nothing of it left.
async fn take_stock(runtime: &Runtime, cases: Vec<Case>) {
    for (number, case) in cases.iter().enumerate() {
        for around in [Around::Nothing, Around::Timeout, Around::Unbounded] {
            let name = format!("case {number} {around:?} {:?}", case.lines);
            let tasks = runtime.metrics().live_tasks;
            let others = runtime.waits().len();
            let task = spawn_named(name.clone(), around.begin((case.begin)()));
            let mut lines: Vec<Line> = case.lines.iter().map(|line| around.line(*line)).collect();
            lines.sort();
            let found = until_listed(&name, &lines, "begun").await;
            assert_eq!(runtime.wait_counts(), runtime.waits().counts(), "{name}");
            for wait in of_task(&found, &name) {
                let said = wait.to_string();
                assert!(said.lines().count() == 1 && said.contains(wait.what()), "{said}");
                let lacks = said.contains(", WITHOUT A DEADLINE, ");
                assert_eq!(lacks, wait.class() == Never, "{said}");
                assert_eq!(wait.bound().is_some(), wait.class() == Until, "{said}");
                if around == Around::Timeout && !case.lines.iter().any(|line| line.2 == Until) {
                    assert!(matches!(wait.bound(), Some(WaitBound::Guard(Some(_)))), "{said}");
                }
            }
            if lines != [("timeout", "timeout", Until)] {
                let told = of_task(&found, &name)
                    .any(|wait| wait.subject().is_some_and(|subject| subject.contains(&case.subject)));
                assert!(told || case.subject.is_empty(), "{name}: {}\n{found}", case.subject);
            }
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_aborted()), "{name}");
            until_listed(&name, &[], "ended").await;
            while runtime.metrics().live_tasks > tasks {
                sleep(MS).await;
            }
            assert_eq!(runtime.waits().len(), others, "{name}:\n{}", runtime.waits());
        }
    }
}

fn leaked<T>(value: T) -> std::rc::Rc<T> {
    std::rc::Rc::new(value)
}

#[test]
fn timers_tasks_scopes_and_what_is_named() {
    let other = Runtime::new().expect("a runtime");
    on_alarms("inventory of tasks", async |runtime| {
        let hour = || Instant::now() + LONG;
        let remote = other_handle();
        take_stock(
            runtime,
            vec![
                case(&one("sleep", Until), "", || sleep(2 * LONG)),
                case(&one("interval", Until), "", move || async move {
                    interval_at(hour(), LONG).tick().await;
                }),
                case(&one("timeout", Until), "", || async {
                    timeout(LONG / 2, pending::<()>()).await.unwrap_or_default();
                }),
                case(&one("unknown", Never), "", pending::<()>),
                case(&one("queue", Never), "", || async {
                    drop(in_scope_as("queue", pending::<()>()).await);
                }),
                case(&one("answer", Never), "of the oracle", || async {
                    let words = "of the oracle".to_owned();
                    drop(in_scope_for("answer", words, pending::<()>()).await);
                }),
                case(&[("request", "queue", Never)], "", || async {
                    let inner = async { in_scope_as("queue", pending::<()>()).await.is_ok() };
                    drop(in_scope_as("request", inner).await);
                }),
                case(&one("join", Idle), "inventory.rs:", || async {
                    let mut joined = Aborts(spawn(pending()));
                    drop((&mut joined.0).await);
                }),
                case(&one("join", Idle), "inventory.rs:", move || {
                    let joined = remote.spawn(pending::<()>).expect("room");
                    async { drop(joined.await) }
                }),
                case(&one("join", Idle), "tasks of the scope", || async {
                    let ended = scope("parent", Unbounded, async |scope| {
                        drop(scope.spawn(pending::<()>()));
                    });
                    drop(ended.await);
                }),
                case(&one("shutdown", Idle), "", shutdown_requested),
            ],
        )
        .await;
    });
    drop(other);

    fn other_handle() -> punctual::Handle {
        thread_local! {
            static OTHER: Runtime = Runtime::new().expect("a runtime");
        }
        OTHER.with(Runtime::handle)
    }
}

#[test]
fn streams_and_datagrams() {
    on_alarms("inventory of sockets", async |runtime| {
        let (near, far) = tcp_pair().await;
        let (full, unread) = tcp_pair().await;
        full.fill().await;
        let (unix, unix_far) = unix_pair();
        let (full_unix, unread_unix) = unix_pair();
        fill(&full_unix).await;
        let (memory, memory_far): (Duplex, Duplex) = duplex(8);
        memory.send_all(&[0; 8]).await;
        let (message, message_far) = UnixDatagram::pair().expect("a pair");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (near, full, unix, full_unix) =
            (leaked(near), leaked(full), leaked(unix), leaked(full_unix));
        let (memory, message, udp) = (leaked(memory), leaked(message), leaked(udp));
        let (peer, full_peer, at) =
            (near.peer_addr(), full.peer_addr(), udp.local_addr().expect("its address"));
        let (bounded, polled) = (leaked(far), near.clone());
        let cases = vec![
            case(&one("read", Never), peer, {
                let near = near.clone();
                move || {
                    let near = near.clone();
                    async move { drop(near.read(&mut [0; 8]).await) }
                }
            }),
            case(&one("read", Never), peer, move || {
                let polled = polled.clone();
                async move {
                    let mut polled = &*polled;
                    let mut buffer = [0; 8];
                    drop(futures_io_read(&mut polled, &mut buffer).await);
                }
            }),
            case(&one("write", Never), full_peer, move || {
                let full = full.clone();
                async move { drop(full.write_all(&[0; 64]).await) }
            }),
            case(&one("read", Never), "unnamed", move || {
                let unix = unix.clone();
                async move { drop(unix.read(&mut [0; 8]).await) }
            }),
            case(&one("write", Never), "unnamed", move || {
                let full = full_unix.clone();
                async move { drop(full.write_all(&[0; 64]).await) }
            }),
            case(&one("read", Never), "in memory", {
                let far = leaked(memory_far);
                move || {
                    let far = far.clone();
                    async move {
                        far.recv_exactly(8).await;
                        far.recv_exactly(1).await;
                    }
                }
            }),
            case(&one("read", Never), at, move || {
                let udp = udp.clone();
                async move { drop(udp.recv_from(&mut [0; 8]).await) }
            }),
            case(&one("read", Never), "unnamed", move || {
                let message = message.clone();
                async move { drop(message.recv(&mut [0; 8]).await) }
            }),
            // Its bound is its own, and its wait for the scope's end no second line.
            case(&one("read", Until), bounded.peer_addr(), move || {
                let far = bounded.clone();
                async move {
                    let mut bounded = Bounded::new(&*far).read_timeout(LONG / 2);
                    drop(bounded.read(&mut [0; 8]).await);
                }
            }),
        ];
        take_stock(runtime, cases).await;
        drop((memory, unread, unix_far, unread_unix, message_far, near));
    });
}

/// Reads through the traits, as what is written against them does.
fn futures_io_read<'a, R: futures_io::AsyncRead + Unpin>(
    from: &'a mut R,
    buffer: &'a mut [u8],
) -> impl Future<Output = std::io::Result<usize>> + 'a {
    std::future::poll_fn(move |cx| Pin::new(&mut *from).poll_read(cx, buffer))
}

#[test]
fn copies_and_writes_in_memory() {
    on_alarms("inventory of copies", async |runtime| {
        let copying = || async {
            let ((left, _left_far), (right, _right_far)) = (duplex(8), duplex(8));
            drop(copy_bidirectional(left, right, CopyOptions::new().idle_timeout(LONG / 2)).await);
        };
        let writing = || async {
            let (full, _unread) = duplex(8);
            drop(full.write_all(&[0; 9]).await);
        };
        let read = ("copy", "read", Until);
        take_stock(
            runtime,
            vec![
                case(&[read, read], "in memory", copying),
                case(&one("write", Never), "in memory", writing),
            ],
        )
        .await;
    });
}

#[test]
fn listening_and_connecting() {
    on_alarms("inventory of connects", async |runtime| {
        let (listener, listens_at) = listen();
        let listener = leaked(listener);
        let at = unix_name("waits");
        let name = at.to_string();
        let unix_listener = leaked(UnixListener::bind_with_backlog(at.clone(), 0).expect("bound"));
        let (_deaf, deaf_at, _filler) = deaf_listener();
        let _queued =
            UnixStream::connect_timeout(at.clone(), PATIENCE).await.expect("the first is taken");
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let server = silent.local_addr().expect("its address");
        let (tcp, unix) = (listener.clone(), unix_listener.clone());
        let other = leaked(UnixListener::bind(unix_name("other")).expect("bound"));
        let cases = vec![
            case(&one("accept", Idle), listens_at, move || {
                let tcp = tcp.clone();
                async move { drop(tcp.accept().await) }
            }),
            case(&one("accept", Idle), "-other-", move || {
                let unix = other.clone();
                async move { drop(unix.accept().await) }
            }),
            case(&one("tcp-connect", Until), deaf_at, move || async move {
                drop(TcpStream::connect_timeout(deaf_at, LONG / 2).await);
            }),
            case(
                &[("unix-connect", "unix-connect", Until), ("retry-pause", "retry-pause", Until)],
                &name,
                move || {
                    let at = at.clone();
                    async move { drop(UnixStream::connect_timeout(at, LONG / 2).await) }
                },
            ),
        ];
        take_stock(runtime, cases).await;
        drop(unix);

        // A lookup says for which name; its queries, to which server.
        let lookup = spawn_named("lookup", async move {
            let resolver = punctual::net::Resolver::builder().servers([server]).build();
            drop(resolver.lookup("silent.example").await);
        });
        let query = ("dns-query", "dns-query", Until);
        let found =
            until_listed("lookup", &[query, query, ("resolve", "resolve", Until)], "asked").await;
        assert_eq!(only(&found, "resolve").subject(), Some("silent.example"));
        let to_server = |wait: &&Wait| wait.subject() == Some(&*server.to_string());
        assert_eq!(found.iter().filter(to_server).count(), 2, "{found}");
        lookup.abort();
        drop(lookup.await);
    });
}

#[test]
fn what_the_system_does() {
    on_alarms("inventory of the system", async |runtime| {
        let (reader, writer) = pipe().expect("a pipe");
        let (reader, _writer) = (leaked(reader), writer);
        let (unread, full) = pipe().expect("a pipe");
        full.set_timeout(Some(30 * MS)).expect("open");
        while full.write_all(&[0; 4096]).await.is_ok() {}
        full.set_timeout(None).expect("open");
        let full = leaked(full);
        let (polled, _kept) = std::io::pipe().expect("a pipe");
        let polled = leaked(AsyncFd::new(polled).expect("registered"));
        let number = std::os::fd::AsRawFd::as_raw_fd(&*polled.get_ref().expect("open"));
        let fifo = Fifo::new();
        let path = fifo.0.clone();
        let cases = vec![
            case(&one("read", Never), "fd ", move || {
                let reader = reader.clone();
                async move { drop(reader.read(&mut [0; 8]).await) }
            }),
            case(&one("write", Never), "fd ", move || {
                let full = full.clone();
                async move { drop(full.write_all(&[0; 4096]).await) }
            }),
            case(&one("read", Never), format!("fd {number}"), move || {
                let polled = polled.clone();
                async move { drop(polled.readable().await) }
            }),
            case(&one("signal", Idle), "SIGUSR2", || async {
                let signals = signal(SignalKind::USER2).expect("a listener");
                drop(signals.recv().await);
            }),
            case(&one("child-exit", Never), "process ", || async {
                let mut child = Command::new("sleep");
                let mut child = child.arg("60").kill_on_drop(true).spawn().expect("a child");
                drop(child.wait().await);
            }),
            case(&one("blocking-work", Never), "", || async {
                let (release, stuck) = std::sync::mpsc::channel::<()>();
                drop(blocking(move || stuck.recv().is_ok()).await);
                drop(release);
            }),
            case(&one("file-operation", Never), "", move || {
                let path = path.clone();
                // Nobody opens its other end.
                async move { drop(punctual::fs::File::open(path).await) }
            }),
        ];
        take_stock(runtime, cases).await;
        drop((unread, fifo));
    });
}

/// A pipe in the file system; whoever waits for its other end is let go when it is dropped.
struct Fifo(std::path::PathBuf);

impl Fifo {
    fn new() -> Fifo {
        let path = temporary("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        Fifo(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        drop(std::fs::OpenOptions::new().read(true).write(true).open(&self.0));
        drop(std::fs::remove_file(&self.0));
    }
}

/// What waits on TCP, by the kernel's own table of this process' sockets.
#[test]
fn the_kernel_knows_the_sockets_that_wait_by_the_same_addresses() {
    on_alarms("sockets that wait", async |runtime| {
        let mut pairs = Vec::new();
        for _ in 0..20 {
            pairs.push(tcp_pair().await);
        }
        let (listener, _) = listen();
        let (_deaf, deaf_at, _filler) = deaf_listener();
        let tasks: Vec<JoinHandle<()>> = pairs
            .into_iter()
            .map(|(near, far)| {
                spawn(async move {
                    let _far = far;
                    drop(near.read(&mut [0; 8]).await);
                })
            })
            .chain([
                spawn(async move { drop(listener.accept().await) }),
                spawn(async move { drop(TcpStream::connect_timeout(deaf_at, LONG).await) }),
            ])
            .collect();
        while runtime.waits().len() < tasks.len() {
            yield_now().await;
        }
        let found = runtime.waits();
        let of = |what| -> BTreeSet<String> {
            let found = found.iter().filter(|wait| wait.what() == what);
            found.map(|wait| wait.subject().expect("known").to_owned()).collect()
        };
        let kernel = kernels_sockets();
        let in_state = |state: u8, local: bool| -> BTreeSet<String> {
            let those = kernel.iter().filter(|socket| socket.2 == state);
            those.map(|socket| if local { socket.0 } else { socket.1 }.to_string()).collect()
        };
        let (established, syn_sent, listening) =
            (in_state(1, false), in_state(2, false), in_state(10, true));
        assert_eq!(of("read").len(), 20, "{found}");
        assert!(of("read").is_subset(&established), "{found}\n{established:?}");
        assert_eq!(of("tcp-connect"), BTreeSet::from([deaf_at.to_string()]), "{found}");
        assert!(of("tcp-connect").is_subset(&syn_sent), "{syn_sent:?}");
        assert!(of("accept").is_subset(&listening) && of("accept").len() == 1, "{listening:?}");
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            drop(task.await);
        }
    });
}

/// Both ends and the state of each IPv4 TCP socket (proc_pid_net(5)).
fn kernels_sockets() -> Vec<(SocketAddr, SocketAddr, u8)> {
    let mut table = String::new();
    std::fs::File::open("/proc/self/net/tcp").expect("proc").read_to_string(&mut table).expect("text");
    let address = |hex: &str| -> SocketAddr {
        let (ip, port) = hex.split_once(':').expect("an address");
        let ip = u32::from_str_radix(ip, 16).expect("hex").to_ne_bytes();
        (ip, u16::from_str_radix(port, 16).expect("hex")).into()
    };
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .map(|of| (address(of[1]), address(of[2]), u8::from_str_radix(of[3], 16).expect("hex")))
        .collect()
}

#[test]
fn a_listener_is_waited_on_by_its_address() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("its address");
        let mut accept = pin!(listener.accept());
        assert!(poll_once(accept.as_mut()).is_pending());
        let accept = only(&waits(), "accept");
        let said =
            format!("accept {at} on {:?} for 0ns, without a deadline (idle), by ", listener.token());
        assert!(accept.to_string().starts_with(&said), "{accept}");
    });
}
