//! The servers, each a process of its own: this program, told to serve.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::thread::{self, JoinHandle};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// hyper on tokio, with what is on by default: no timer, and so no deadline.
    Tokio,
    /// hyper on tokio with a timer: the headers have their 30 seconds.
    TokioTimer,
    /// Ours, with all deadlines.
    Punctual,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Tokio, Kind::TokioTimer, Kind::Punctual];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tokio => "tokio",
            Kind::TokioTimer => "tokio, timer",
            Kind::Punctual => "punctual",
        }
    }
}

/// A server that runs, until this is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
    /// Closed to end it.
    stdin: Option<ChildStdin>,
    /// Reads along: a pipe that is full would hold the server up.
    told: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts it by `launcher`, as `taskset -c 0`.
    pub(crate) fn start(kind: Kind, http2: bool, launcher: &[&str]) -> io::Result<Server> {
        let this = std::env::current_exe()?;
        let mut command = Command::new(launcher[0]);
        command.args(&launcher[1..]).arg(this).args(["--serve", kind.name()]);
        command.args(http2.then_some("--http2"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let told = thread::spawn(|| {
            let mut told = Vec::new();
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut told));
            String::from_utf8_lossy(&told).into_owned()
        });
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().parse() {
            Ok(port) => Ok(Server { child, port, stdin, told: Some(told) }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(io::Error::other(format!("{} does not start", launcher.join(" "))))
            }
        }
    }

    /// Ends it; returns what it has said on its standard error.
    pub(crate) fn finish(mut self) -> String {
        self.stdin = None;
        self.told.take().and_then(|told| told.join().ok()).unwrap_or_default()
    }

    /// The processor time it has had so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let told = std::fs::read_to_string(path).unwrap_or_default();
        told.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was finished has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until its standard input ends.
pub(crate) fn serve(name: &str, http2: bool) -> ExitCode {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let served = match Kind::ALL.iter().find(|kind| kind.name() == name) {
        Some(Kind::Punctual) => punctual(), // it hears which protocol is spoken
        Some(kind) => tokio(http2, *kind == Kind::TokioTimer),
        None => Err(io::Error::other("no such server")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn announce(port: u16) -> io::Result<()> {
    println!("{port}");
    io::stdout().flush()
}

/// The same service for all.
async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

/// As in hyper's guide, "Getting Started with a Server", with `TCP_NODELAY`.
fn tokio(http2: bool, timer: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            tokio::task::spawn(async move {
                let service = service_fn(hello::<Incoming>);
                let _ = if http2 {
                    let mut builder = http2::Builder::new(TokioExecutor::new());
                    if timer {
                        builder.timer(TokioTimer::new());
                    }
                    builder.serve_connection(io, service).await
                } else {
                    let mut builder = http1::Builder::new();
                    if timer {
                        builder.timer(TokioTimer::new());
                    }
                    builder.serve_connection(io, service).await
                };
            });
        }
    })
}

/// With all defaults: every phase has its deadline.
fn punctual() -> io::Result<()> {
    use punctual_net::{TcpListener, http};

    let runtime = punctual_reactor::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        announce(listener.local_addr()?.port())?;
        // h2load does not dial again when a connection has had its thousand requests; the peers set no such limit.
        let mut limits = http::Limits::default();
        limits.requests_per_connection = u64::MAX;
        http::serve(listener, http::service_fn(hello::<http::Body>)).limits(limits).await?;
        Ok(())
    })
}
