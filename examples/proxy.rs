//! A TCP proxy that hands half-closes on, cuts nothing off, and leaves no connection behind.
//!
//! ```text
//! python3 -m http.server 7001 &
//! cargo run --release --example proxy 127.0.0.1:7000 127.0.0.1:7001 --idle 2s --min-rate 500
//! ```
//!
//! With `curl http://127.0.0.1:7000/big` beside it, then a client that says nothing, and one that trickles:
//!
//! ```text
//! listening on 127.0.0.1:7000, connecting to 127.0.0.1:7001
//! 127.0.0.1:32938: 81 bytes had gone from client to server (ended) and 8000205 back (ended)
//! 127.0.0.1:32952: copy between client and server timed out after 2 s (idle timeout set at examples/proxy.rs:109:10), fired 1.25 ms late, 1 ms of it chosen, to share a wake-up; 0 bytes had gone from client to server (still open) and 0 back (still open)
//! 127.0.0.1:32956: copy between client and server timed out after 5 s (fewer than 500 B/s for 5 s (got 109) set at examples/proxy.rs:112:36), fired 4.88 ms late, 3.73 ms of it through the kernel's wake-up; 109 bytes had gone from client to server (still open) and 0 back (still open)
//! ```
//!
//! A connection that fails is reset on both sides: nobody takes a part for the whole.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use punctual::net::io::{Copied, CopyOptions, Throughput, copy_bidirectional};
use punctual::net::{Connect, Error, TcpListener, TcpStream};
use punctual::{Runtime, spawn};

/// Copies between its clients and one server, within bounds.
#[derive(Parser)]
struct Options {
    /// Address and port to listen on; port 0 chooses one
    listen: String,
    /// Host and port of the server
    server: String,
    /// How long neither side may say anything, as `500ms` or `5s`
    #[arg(long, default_value = "60s", value_parser = some_time)]
    idle: Duration,
    /// The same once one side has ended
    #[arg(long, default_value = "30s", value_parser = some_time)]
    linger: Duration,
    /// The fewest bytes a second that must move, both ways together, judged every five seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    min_rate: Option<u64>,
    /// How long connecting to the server may take
    #[arg(long, default_value = "10s", value_parser = some_time)]
    connect: Duration,
}

fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing can be done in no time".to_owned()),
        Ok(some) => Ok(some),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    let options: &'static Options = Box::leak(Box::new(Options::parse()));
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(1, &error),
    };
    runtime.block_on(async {
        match TcpListener::bind(&options.listen) {
            Err(error) => failed(2, &error),
            Ok(listener) => match serve(&listener, options).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(1, &error),
            },
        }
    })
}

fn failed(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

/// Accepts for ever, or until the listener or stdout fails.
async fn serve(
    listener: &TcpListener,
    options: &'static Options,
) -> Result<(), Box<dyn std::error::Error>> {
    say(&format!("listening on {}, connecting to {}", listener.local_addr()?, options.server))?;
    loop {
        let (client, peer) = listener.accept().await?;
        let serving = spawn(async move {
            let ended = match serve_one(client, options).await {
                Ok(copied) => copied.to_string(),
                Err(error) => error.to_string(),
            };
            // Whoever reads this has gone: the proxy goes on.
            let _ = say(&format!("{peer}: {ended}"));
        });
        drop(serving); // it runs on by itself
    }
}

async fn serve_one(client: TcpStream, options: &Options) -> Result<Copied, Error> {
    let server = match Connect::to(options.server.as_str()).timeout(options.connect).connect().await {
        Ok(server) => server,
        Err(error) => {
            client.set_linger(Some(Duration::ZERO))?;
            return Err(error);
        }
    };
    let mut bounds = CopyOptions::new()
        .names("client", "server")
        .idle_timeout(options.idle)
        .half_close_linger(options.linger);
    if let Some(rate) = options.min_rate {
        bounds = bounds.throughput(Throughput::per_second(rate));
    }
    let copied = copy_bidirectional(&client, &server, bounds).await;
    if copied.is_err() {
        // A close would look like an end.
        client.set_linger(Some(Duration::ZERO))?;
        server.set_linger(Some(Duration::ZERO))?;
    }
    copied
}

/// A line at once, also into a pipe.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
