//! R02: every call that opens a descriptor, with every number of descriptors left that is too few.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use punctual::net::{
    Resolver, TcpListener, TcpStream, UdpSocket, UnixAddress, UnixDatagram, UnixListener, UnixStream,
};
use punctual::process::Command;
use punctual::signal::{SignalKind, signal};
use punctual::{PerCore, Runtime, debug, fs, http, spawn, tls};
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, watchdog};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the test itself has opened begins with that.
const TEST: &str = "the test:";

/// No call needs more at once.
const ENOUGH: usize = 16;

type Call = fn(SocketAddr) -> Pin<Box<dyn Future<Output = Result<(), String>>>>;

macro_rules! calls {
    ($($name:literal, $says:literal => |$address:pat_param| $call:expr;)*) => {
        [$(($name, $says, (|$address| Box::pin(async move { $call.map(drop).map_err(|error| error.to_string()) })) as Call)),*]
    };
}

/// What opens a descriptor, or several, and what it says it could not do. What is opened is dropped at once.
fn calls() -> impl IntoIterator<Item = (&'static str, &'static str, Call)> {
    calls! {
        "TcpListener::bind", "listen on 127.0.0.1:0 failed" => |_| TcpListener::bind("127.0.0.1:0");
        "TcpStream::connect", "connect to 127.0.0.1" => |address| TcpStream::connect(address).await;
        "TcpStream::connect, several", "connect to 127.0.0.1" => |address| TcpStream::connect(vec![address; 3]).await;
        "TcpStream::connect, by name", "connect to localhost" => |address| TcpStream::connect(("localhost", address.port())).await;
        "UdpSocket::bind", "listen on 127.0.0.1:0 failed" => |_| UdpSocket::bind("127.0.0.1:0");
        "UnixListener::bind", "listen on @punctual-limits failed" => |_| UnixListener::bind(UnixAddress::from_abstract_name("punctual-limits"));
        "UnixStream::pair", "connect to the other end of a pair failed" => |_| UnixStream::pair();
        "UnixDatagram::pair", "connect to the other end of a pair failed" => |_| UnixDatagram::pair();
        "UnixDatagram::unbound", "listen failed" => |_| UnixDatagram::unbound();
        "pipe", "cannot open a pipe" => |_| punctual::reactor::pipe();
        "fs::File::open", "cannot open Cargo.toml" => |_| fs::File::open("Cargo.toml").await;
        "fs::read", "cannot open Cargo.toml" => |_| fs::read("Cargo.toml", 1 << 20).await;
        "fs::write", "cannot open /dev/null" => |_| fs::write("/dev/null", "x").await;
        "UnixStream::connect", "@punctual-limits-3 failed" => |_| unix_connect().await;
        "UnixDatagram::bind", "listen on @punctual-limits-2 failed" => |_| UnixDatagram::bind(UnixAddress::from_abstract_name("punctual-limits-2"));
        "AsyncFd", "the test's pipe" => |_| watch_a_copy();
        "Resolver::lookup", "resolve exhaustion.test failed" => |_| look_up().await;
        "tls::Connector", "ca-certificates.crt cannot be read" => |_| tls::Connector::with_roots_from_pem_file("/etc/ssl/certs/ca-certificates.crt");
        "debug::Server", "listen on 127.0.0.1:0 failed" => |_| debug::Server::builder().bind("127.0.0.1:0");
        "signal", "cannot open a listener for SIGUSR2" => |_| signal(SignalKind::USER2);
        "Command", "cannot open what \"true\" is to be run with" => |_| run_a_program().await;
        "accept", "listen" => |_| accept().await;
        "http::Client", "connect to 127.0.0.1" => |address| ask(address).await;
        "Runtime::new", "cannot open a runtime" => |_| Runtime::new();
        "per_core", "cannot be started" => |_| PerCore::new(2).pin(false).run(|_| async { Ok::<_, std::io::Error>(()) });
    }
}

fn of_the_test(error: std::io::Error) -> String {
    format!("{TEST} {error}")
}

async fn unix_connect() -> Result<(), String> {
    let address = UnixAddress::from_abstract_name("punctual-limits-3");
    let listener = UnixListener::bind(&address).map_err(|error| error.to_string())?;
    let stream = UnixStream::connect(&address).await.map_err(|error| error.to_string())?;
    drop((listener, stream));
    Ok(())
}

fn watch_a_copy() -> Result<(), String> {
    let (reader, _writer) = std::io::pipe().map_err(of_the_test)?;
    let copy = reader.try_clone().map_err(of_the_test)?;
    punctual::reactor::AsyncFd::new(std::os::fd::OwnedFd::from(copy))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Nobody answers there either.
async fn look_up() -> Result<(), String> {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").map_err(of_the_test)?;
    let server = silent.local_addr().expect("its address");
    let resolver =
        Resolver::builder().servers([server]).try_timeout(5 * MS).attempts(1).timeout(40 * MS).build();
    match resolver.lookup("exhaustion.test").await {
        Err(error) if error.is_timeout() || error.to_string().contains("did not answer") => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("nobody answers, and there is an answer".to_owned()),
    }
}

async fn run_a_program() -> Result<(), String> {
    let output = Command::new("true").output(Duration::from_secs(20), 100).await;
    output.map(drop).map_err(|error| error.to_string())
}

/// The peer is there before; what is opened is what is accepted.
async fn accept() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().expect("its address");
    let _client = std::net::TcpStream::connect(address).map_err(of_the_test)?;
    listener.set_timeout(Some(20 * MS)).expect("open");
    match listener.accept().await {
        Ok(_) => Ok(()),
        // It pauses; that nothing can be accepted is no failure of the listener.
        Err(error) if error.is_timeout() && listener.exhaustions() > 0 => {
            Err("Too many open files: the listener pauses".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Nobody answers: with enough descriptors it is a timeout.
async fn ask(address: SocketAddr) -> Result<(), String> {
    let timeouts = http::Timeouts::new().first_byte(10 * MS);
    let client = http::Client::new();
    match client.get(format!("http://{address}/")).timeouts(timeouts).send().await {
        Err(error) if error.is_timeout() => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("nobody answers, and there is an answer".to_owned()),
    }
}

/// Leaves as many descriptors as said, and no more.
fn leave(free: usize) {
    let used: Vec<u64> = rig::open_numbers().into_iter().map(|(number, _)| number).collect();
    let limit = (0..).filter(|number| !used.contains(number)).nth(free).expect("numbers go on");
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).expect("lowered");
}

#[test]
fn r02_every_call_that_opens_a_descriptor_says_that_there_is_none_and_leaks_nothing() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("r02", Duration::from_secs(240));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("its address");
    let runtime = Runtime::new().expect("a runtime");
    let make = |call: Call| runtime.block_on(async { spawn(call(address)).await.expect("no panic") });
    for (name, what, call) in calls() {
        // What is kept for good, as threads and the pipe of the signals, is there from now on.
        rig::raise_descriptors();
        make(call).unwrap_or_else(|error| panic!("{name}, with as many as there may be: {error}"));
        settle(&listener);
        let before = rig::descriptors();
        let mut worked = None;
        for free in 0..ENOUGH {
            leave(free);
            let result = make(call);
            rig::raise_descriptors();
            settle(&listener);
            let beyond = rig::descriptors_beyond(&before);
            assert!(beyond.is_empty(), "{name} with {free} descriptors left: {beyond:?}");
            match result {
                Ok(()) => worked = worked.or(Some(free)),
                Err(said) => {
                    assert_eq!(worked, None, "{name} failed with {free}, and not with fewer: {said}");
                    let why = "Too many open files";
                    let tells = said.contains(why) && (said.contains(what) || said.starts_with(TEST));
                    assert!(tells, "{name} with {free} left says: {said}");
                }
            }
        }
        let worked = worked.unwrap_or_else(|| panic!("{name} never works with {ENOUGH} descriptors"));
        println!("{name}: {worked} descriptors are enough");
        assert!(worked > 0, "{name} opens nothing");
        make(call).unwrap_or_else(|error| panic!("{name}, afterwards: {error}"));
        settle(&listener);
    }
    assert_baseline(&runtime);
}

/// What was connected and never accepted goes, and so do threads that have ended.
fn settle(listener: &std::net::TcpListener) {
    while listener.accept().is_ok() {}
}
