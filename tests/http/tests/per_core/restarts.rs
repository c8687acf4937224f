//! One generation of cores after another on the same port.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use punctual::net::Error;
use punctual::{Core, Cores, PerCore, spawn};
use punctual_tests_http::{namespace::in_namespace, rig::skip};

use crate::{LONG, MS, alone};

const CLIENTS: usize = 4;
const CONNECTIONS: usize = 1_000;

/// What each connection is told.
const SERVED: &str = "served";

/// How many wait in a queue that is closed.
const WAITING: usize = 64;

/// `cores` that listen on `address` and answer each connection, until they drain. If they are `deaf`, they accept none.
fn generation(cores: usize, address: SocketAddr, deaf: bool) -> (Cores<usize, Error>, SocketAddr) {
    let (tell, told) = channel();
    let main = move |core: Core| {
        let tell = tell.clone();
        async move {
            let listener = core.listen(address)?;
            tell.send(listener.local_addr()?).expect("the test listens");
            drop(tell);
            if deaf {
                core.drain_requested().await;
                return Ok(0);
            }
            let mut served = Vec::new();
            {
                let mut accepts = std::pin::pin!(async {
                    while let Ok((stream, _)) = listener.accept().await {
                        served.push(spawn(
                            async move { stream.write_all(SERVED.as_bytes()).await.is_ok() },
                        ));
                    }
                });
                let mut drain = std::pin::pin!(core.drain_requested());
                std::future::poll_fn(|cx| match drain.as_mut().poll(cx) {
                    std::task::Poll::Pending => accepts.as_mut().poll(cx),
                    ready => ready,
                })
                .await;
            }
            // What waits is accepted, until nothing does; then it is closed at once.
            let rest = listener.into_std()?;
            while let Ok((stream, _)) = rest.accept() {
                let stream = punctual::net::TcpStream::from_std(stream)?;
                served.push(spawn(async move { stream.write_all(SERVED.as_bytes()).await.is_ok() }));
            }
            drop(rest);
            let mut count = 0;
            for task in served {
                count += usize::from(task.await.unwrap_or(false));
            }
            Ok::<_, Error>(count)
        }
    };
    let started = PerCore::new(cores).start(main).expect("started");
    let address = told.iter().take(cores).last().expect("all listen");
    (started, address)
}

/// All that a server says before it ends.
fn answer(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What became of the connections.
#[derive(Debug, Default)]
struct Tally {
    served: AtomicUsize,
    refused: AtomicUsize,
    /// Reset after the kernel had accepted them: they were in the queue of a listener that was closed.
    lost: AtomicUsize,
}

impl Tally {
    fn connect(&self, address: SocketAddr) {
        let count = match TcpStream::connect(address).and_then(answer).map_err(|error| error.kind()) {
            Ok(answer) if answer == SERVED => &self.served,
            Err(ErrorKind::ConnectionRefused) => &self.refused,
            Err(ErrorKind::ConnectionReset) => &self.lost,
            other => panic!("{other:?}"),
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// A thousand connections and more while a generation of cores takes over from another again and again.
fn restarts() -> Tally {
    let tally = Tally::default();
    let over = AtomicBool::new(false);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut cores, address) = generation(2, any, false);
    let mut served = 0;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for round in 0.. {
                    tally.connect(address);
                    if round >= CONNECTIONS / CLIENTS && over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for _ in 0..8 {
            let (next, same) = generation(2, address, false);
            assert_eq!(same, address);
            let old = std::mem::replace(&mut cores, next);
            thread::sleep(10 * MS); // some of the connections go to each generation
            old.handle().drain(LONG);
            served += old.join().expect("it drains").into_iter().sum::<usize>();
        }
        over.store(true, Ordering::SeqCst);
    });
    cores.handle().drain(LONG);
    served += cores.join().expect("it drains").into_iter().sum::<usize>();
    assert_eq!(tally.served.load(Ordering::SeqCst), served, "as the cores have counted: {tally:?}");
    tally
}

#[test]
fn no_connection_is_refused_while_one_generation_follows_another() {
    let _alone = alone("restarts");
    let tally = restarts();
    eprintln!("{tally:?}");
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "{tally:?}");
    assert!(tally.served.load(Ordering::SeqCst) >= CONNECTIONS - tally.lost.load(Ordering::SeqCst));
}

/// Only what is in the queue, and of one listener: whose handshake ends in the moment of the close the kernel may still
/// reset, and who is handed to a listener that is closed in that moment too.
#[test]
fn what_waits_is_reset_unless_the_kernel_hands_queues_on() {
    if !in_namespace("restarts::what_waits_is_reset_unless_the_kernel_hands_queues_on") {
        return;
    }
    let _alone = alone("restarts with and without migration");
    for (migrate, expected) in [("0", Err(ErrorKind::ConnectionReset)), ("1", Ok(SERVED.to_owned()))] {
        if let Err(error) = fs::write("/proc/sys/net/ipv4/tcp_migrate_req", migrate) {
            return skip(&format!(
                "net.ipv4.tcp_migrate_req cannot be set ({error}): Linux 5.14 would run it"
            ));
        }
        let (old, address) = generation(1, SocketAddr::from(([127, 0, 0, 1], 0)), true);
        let waiting: Vec<_> =
            (0..WAITING).map(|_| TcpStream::connect(address).expect("connected")).collect();
        let (next, _) = generation(2, address, false);
        old.handle().drain(LONG);
        assert_eq!(old.join().expect("it drains"), [0]);
        for stream in waiting {
            let ended = answer(stream).map_err(|error| error.kind());
            assert_eq!(ended, expected, "with migration {migrate}");
        }
        next.handle().drain(LONG);
        next.join().expect("they drain");
    }
}
