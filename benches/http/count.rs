//! Instructions, clock reads and system calls of a request, by valgrind.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use crate::servers::{Kind, Server};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// So many connections of HTTP/1.1 ask at once, and each once they all have their answer.
    Http1 { connections: usize },
    /// h2load, as in [`Load::ALL`](crate::load::Load::ALL), with a number of requests instead of a time.
    Http2,
}

impl Asked {
    pub(crate) const ALL: [Asked; 3] =
        [Asked::Http1 { connections: 1 }, Asked::Http1 { connections: 64 }, Asked::Http2];

    pub(crate) fn name(self) -> String {
        match self {
            Asked::Http1 { connections } => {
                format!("{connections} connections that ask at once, a request each time (HTTP/1.1)")
            }
            Asked::Http2 => format!("h2load {} (HTTP/2)", H2LOAD.join(" ")),
        }
    }

    /// How many requests are for warming up, and how many are made in the longer run.
    fn requests(self) -> [usize; 2] {
        match self {
            // One connection needs more requests for the same precision; after the thousandth ours is closed.
            Asked::Http1 { connections: 1 } => [10 * FEW, 10 * MANY],
            Asked::Http1 { connections } => [FEW * connections, MANY * connections],
            Asked::Http2 => [160 * FEW, 160 * MANY],
        }
    }

    fn ask(self, port: u16, requests: usize) -> io::Result<()> {
        match self {
            Asked::Http1 { connections } => ask(port, connections, requests / connections),
            Asked::Http2 => ask_http2(port, requests),
        }
    }
}

const H2LOAD: [&str; 3] = ["-t1", "-c16", "-m10"];

/// What the vDSO needs for one read of the clock, in instructions.
pub(crate) const CLOCK_READ: f64 = 60.0;

/// How many requests of each connection are for warming up, and how many are made in the longer run.
const FEW: usize = 20;
const MANY: usize = 60;

/// The same as wrk sends.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a request costs.
pub(crate) struct Cost {
    /// As valgrind counts them, which is without those of clock reads.
    pub(crate) instructions: f64,
    pub(crate) clock_reads: f64,
    pub(crate) calls: BTreeMap<String, f64>,
}

impl Cost {
    pub(crate) fn total(&self) -> f64 {
        self.instructions + CLOCK_READ * self.clock_reads
    }
}

/// The cost of a request.
pub(crate) fn cost(kind: Kind, asked: Asked) -> io::Result<Cost> {
    let [few, many] = asked.requests();
    let (before, _) = run(kind, asked, few, false)?;
    let (after, _) = run(kind, asked, many, false)?;
    let requests = (many - few) as f64;
    let (_, calls_before) = run(kind, asked, few, true)?;
    let (_, mut calls) = run(kind, asked, many, true)?;
    calls.iter_mut().for_each(|(name, calls)| *calls -= calls_before.get(name).unwrap_or(&0.0));
    calls.iter_mut().for_each(|(_, calls)| *calls /= requests);
    let clock_reads = calls.remove("clock_gettime").unwrap_or(0.0);
    calls.retain(|_, calls| *calls >= 0.005);
    Ok(Cost { instructions: (after - before) / requests, clock_reads, calls })
}

/// Leaves callgrind's file of a run at `path`, for `callgrind_annotate`; returns how many requests it has answered.
pub(crate) fn profile(kind: Kind, asked: Asked, path: &str) -> io::Result<usize> {
    let file = format!("--callgrind-out-file={path}");
    let http2 = asked == Asked::Http2;
    let server = Server::start(kind, http2, &["valgrind", "--tool=callgrind", &file])?;
    let requests = 10 * asked.requests()[1];
    let asked = asked.ask(server.port, requests);
    server.finish();
    asked.map(|()| requests)
}

/// One run of so many requests: all that was executed, or all calls of the system by name.
fn run(
    kind: Kind,
    asked: Asked,
    requests: usize,
    calls: bool,
) -> io::Result<(f64, BTreeMap<String, f64>)> {
    let callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let trace = ["valgrind", "--tool=none", "--trace-syscalls=yes"];
    let server = Server::start(kind, asked == Asked::Http2, if calls { &trace } else { &callgrind })?;
    let asked = asked.ask(server.port, requests);
    let stderr = server.finish();
    asked?;
    if calls {
        return Ok((0.0, by_name(&stderr)));
    }
    // ==42== Collected : 1234567
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok());
    let collected = collected.ok_or_else(|| io::Error::other("valgrind did not count"))?;
    Ok((collected, BTreeMap::new()))
}

/// `SYSCALL[4242,1](232) sys_epoll_wait ( 3, 0x4c51a60, 1024, -1 )`
fn by_name(trace: &str) -> BTreeMap<String, f64> {
    let mut calls = BTreeMap::new();
    for (_, rest) in trace.lines().filter_map(|line| line.split_once("SYSCALL[")) {
        // A call that has blocked is told of once more when it returns, without its name.
        let Some((_, named)) = rest.split_once("sys_") else { continue };
        let name = named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        *calls.entry(name.to_owned()).or_insert(0.0) += 1.0;
    }
    calls
}

fn ask_http2(port: u16, requests: usize) -> io::Result<()> {
    let mut command = Command::new("h2load");
    command.args(H2LOAD).args(["-n", &requests.to_string()]);
    let Output { stdout, .. } = command.arg(format!("http://127.0.0.1:{port}/")).output()?;
    let told = String::from_utf8_lossy(&stdout);
    if told.contains(&format!("{requests} succeeded, 0 failed")) {
        return Ok(());
    }
    Err(io::Error::other(format!("not all requests were answered: {told}")))
}

/// Asks on all connections, then reads all answers, again and again.
fn ask(port: u16, connections: usize, requests: usize) -> io::Result<()> {
    let connect = |_| {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut streams = (0..connections).map(connect).collect::<io::Result<Vec<_>>>()?;
    let mut answer = [0; 4096];
    for _ in 0..requests {
        for stream in &mut streams {
            stream.write_all(REQUEST)?;
        }
        for stream in &mut streams {
            let mut read = 0;
            while !answer[..read].ends_with(b"Hello, World!") {
                match stream.read(&mut answer[read..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    bytes => read += bytes,
                }
            }
        }
    }
    Ok(())
}
