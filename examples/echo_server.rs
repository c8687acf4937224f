//! An echo server that holds its clients to an idle deadline, and says why each of them was dropped.
//!
//! ```text
//! cargo run --release --example echo_server 127.0.0.1:7000 --idle 5s
//! ```
//!
//! With `nc 127.0.0.1 7000` beside it, one client that ends by itself, one that falls silent and one that
//! is reset:
//!
//! ```text
//! listening on 127.0.0.1:7000, idle clients are dropped after 5s
//! 127.0.0.1:42346: dropped after 6 bytes: the client has ended
//! 127.0.0.1:42360: dropped after 12 bytes: read from 127.0.0.1:42360 timed out after 5 s (idle timeout set at examples/echo_server.rs:87:16; peer silent for 5 s, all of ours acknowledged), fired 1.12 ms late
//! 127.0.0.1:42374: dropped after 0 bytes: read from 127.0.0.1:42374 failed: Connection reset by peer (os error 104)
//! ```
//!
//! The bound is on each read and each write, so a client that neither sends nor takes anything is dropped,
//! and one that trickles is not.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use punctual::net::{Error, TcpListener, TcpStream};
use punctual::{Runtime, spawn};

/// Echoes what its clients send, and drops those that fall silent.
#[derive(Parser)]
struct Options {
    /// Address and port to listen on; port 0 chooses one
    address: String,
    /// How long a client may be silent, as `500ms` or `5s`
    #[arg(long, default_value = "30s", value_parser = idle)]
    idle: Duration,
    /// How many clients may be connected at once; more are dropped at the door
    #[arg(long, default_value_t = 10_000)]
    max_clients: usize,
}

fn idle(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("no client can answer in no time".to_owned()),
        Ok(idle) => Ok(idle),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(1, &error),
    };
    runtime.block_on(async {
        match TcpListener::bind(&options.address) {
            Err(error) => failed(2, &error),
            Ok(listener) => match serve(&listener, &options).await {
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
async fn serve(listener: &TcpListener, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let idle = humantime::format_duration(options.idle);
    say(&format!("listening on {}, idle clients are dropped after {idle}", listener.local_addr()?))?;
    let clients = Rc::new(Cell::new(0));
    loop {
        let (stream, peer) = listener.accept().await?;
        if clients.get() >= options.max_clients {
            say(&format!(
                "{peer}: dropped after 0 bytes: {} clients are served already",
                clients.get()
            ))?;
            continue;
        }
        stream.set_timeout(Some(options.idle))?;
        clients.set(clients.get() + 1);
        let clients = clients.clone();
        let client = spawn(async move {
            let mut echoed = 0;
            let why = match echo(&stream, &mut echoed).await {
                Ok(()) => "the client has ended".to_owned(),
                Err(error) => error.to_string(),
            };
            clients.set(clients.get() - 1);
            // Whoever reads this has gone: the server goes on.
            let _ = say(&format!("{peer}: dropped after {echoed} bytes: {why}"));
        });
        drop(client); // it runs on by itself
    }
}

async fn echo(stream: &TcpStream, echoed: &mut u64) -> Result<(), Error> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let received = match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            received => &buffer[..received],
        };
        if let Err(error) = stream.write_all(received).await {
            *echoed += error.transferred();
            return Err(error);
        }
        *echoed += received.len() as u64;
    }
}

/// A line at once, also into a pipe.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
