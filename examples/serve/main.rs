//! A file and echo server whose every phase is under a deadline, all of them on by default; to be tried with curl, wrk,
//! h2load, openssl and slowhttptest.
//!
//! ```text
//! cargo run --release --features http,tls --example serve -- 127.0.0.1:8080 --root .
//! cargo run --release --features http,tls --example serve -- 127.0.0.1:8080 --cores 2
//! openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -keyout key.pem -out certificate.pem
//! cargo run --release --features http,tls --example serve -- 127.0.0.1:8443 --tls certificate.pem key.pem
//! ```
//!
//! | | |
//! |---|---|
//! | `GET /…` | files below `--root`: ranges, conditional, directories listed |
//! | `POST /echo` | the body comes back as it is sent |
//! | `GET /hello` | as little as can be, for wrk and h2load |
//! | `GET /slow?ms=500` | an answer after so long |
//! | `GET /drip?bytes=10&ms=100` | an answer of so many bytes, one every so often |
//!
//! Speaks HTTP/1.1 and HTTP/2 on the same port. SIGTERM and Ctrl-C have it accept nothing more and finish what was
//! begun, for as long as `--drain` allows; a second one cuts what is left.

mod answers;
mod content;
mod files;
mod listing;
mod options;
mod paths;
mod range;
mod stop;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use punctual::http::{self, Drained};
use punctual::{Core, CoreError, CoreFailure, Cores, PerCore, spawn};

use answers::Site;
use options::Options;

/// What the drain of a core may take beyond its time, before the runtime is shut down.
const MARGIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let options = Options::parse();
    let site = match Site::of(&options) {
        Ok(site) => Arc::new(site),
        Err(refused) => return failed(2, &refused),
    };
    let tls = match options.acceptor() {
        Ok(tls) => tls,
        Err(refused) => return failed(2, &refused),
    };
    let (cores, drain) = (options.cores, options.drain);
    let ready = Arc::new(AtomicUsize::new(0));
    let served = PerCore::new(cores).drain_on_failure(drain + MARGIN).start(move |core| {
        let (options, site, tls, ready) = (options.clone(), site.clone(), tls.clone(), ready.clone());
        async move {
            let listener = core.listen(&options.address)?;
            if core.index() == 0 {
                stop::by_signals(&core, drain, MARGIN)?;
                #[cfg(feature = "debug")]
                debug(&options)?;
            }
            let said =
                format!("listening on {}, {} core(s)", site.url(listener.local_addr()?), core.count());
            let service = http::service_fn(move |request| answers::answer(site.clone(), request));
            let mut server =
                http::serve(listener, service).timeouts(options.timeouts()).limits(options.limits());
            if let Some(tls) = tls {
                server = server.tls(tls);
            }
            drain_when_asked(&core, server.drainer(), drain);
            if ready.fetch_add(1, Ordering::SeqCst) + 1 == core.count() {
                say(&said);
            }
            Ok(server.await?)
        }
    });
    match served.and_then(Cores::join) {
        Ok(drained) => report(&drained),
        Err(error) => explain(&error),
    }
}

/// A task of its own: the server is awaited by `main`.
fn drain_when_asked(core: &Core, drainer: http::Drainer, within: Duration) {
    let core = core.clone();
    drop(spawn(async move {
        core.drain_requested().await;
        drainer.drain(within);
    }));
}

#[cfg(feature = "debug")]
fn debug(options: &Options) -> io::Result<()> {
    if let Some(address) = &options.debug {
        let endpoint = punctual::debug::Server::builder().bind(address)?.spawn();
        say(&format!("debug on http://{}/debug/drift", endpoint.local_addr()));
        // It ends with the runtime.
        std::mem::forget(endpoint);
    }
    Ok(())
}

fn report(drained: &[Drained]) -> ExitCode {
    for (core, of_core) in drained.iter().enumerate() {
        let Drained { idle, finished, cut, .. } = of_core;
        say(&format!("core {core} drained: {idle} idle, {finished} finished, {cut} cut"));
    }
    ExitCode::SUCCESS
}

/// An address that cannot be had is the user's to change.
fn explain(error: &CoreError<io::Error>) -> ExitCode {
    match error.failure() {
        CoreFailure::Failed(why) => failed(2, why),
        _ => failed(1, error),
    }
}

fn failed(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

/// A line at once, also into a pipe; whoever reads may have gone.
fn say(line: &str) {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
