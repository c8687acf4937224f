//! Who made my timers late? A task that blocks its thread for 50 ms in one of twenty of its turns, among others that do
//! not, and the loop's own account of it.
//!
//! ```text
//! cargo run --release --example culprit -- --seconds 3
//! ```
//!
//! ```text
//! 20 turns took 20ms or longer, 171 firings were late by as much or more; the worst:
//! task "blocks" spawned at examples/culprit.rs:97:10 held the loop for 50.4ms in turn 812 (on the CPU for 0.2ms of it: it blocked), 3 firings late by up to 48.9ms
//! …
//! healthy tasks: 2 431 sleeps of 2 ms, none early, the latest by 51.2ms
//! ```
//!
//! A `tracing` warning says the same on standard error while it happens, at most once a second. With the feature `debug`
//! it can be watched from a browser and with `top`:
//!
//! ```text
//! cargo run --features debug --example culprit -- --seconds 600 --debug 127.0.0.1:7070
//! cargo run -p punctual-top -- 127.0.0.1:7070
//! ```

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use punctual::signal::ctrl_c;
use punctual::{
    Blame, Instant, Runtime, blame, drift, interval, metrics, sleep_until, spawn_named, timeout,
};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Blocks its loop now and then, and has itself be found out.
#[derive(Parser)]
struct Options {
    /// How long; Ctrl-C ends it sooner
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How long it blocks, in milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    block_ms: u64,
    /// One object of JSON instead of the lines
    #[arg(long)]
    json: bool,
    /// Serves the debug endpoint there, as 127.0.0.1:7070; port 0 chooses one
    #[cfg(feature = "debug")]
    #[arg(long)]
    debug: Option<String>,
}

/// In one of so many of its turns the task blocks.
const ONE_IN: u64 = 20;

const HEALTHY_TASKS: u32 = 8;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let warnings = tracing_subscriber::registry().with(Warnings);
    let ran = tracing::subscriber::with_default(warnings, || runtime.block_on(run(&options)));
    let (blame, healthy) = match ran {
        Ok(ran) => ran,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let printed = if options.json { print_json(&blame, &healthy) } else { print(&blame, &healthy) };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads this has gone.
        Err(_) => ExitCode::FAILURE,
    }
}

/// How the tasks fared that do nothing wrong.
#[derive(Default)]
struct Healthy {
    sleeps: Cell<u64>,
    early: Cell<u64>,
    latest: Cell<Duration>,
    /// In which turn the other one has blocked, and for how long by its own clock.
    blocked: RefCell<Vec<(u64, Duration)>>,
}

async fn run(options: &Options) -> Result<(Blame, Rc<Healthy>), punctual::net::Error> {
    #[cfg(feature = "debug")]
    if let Some(address) = &options.debug {
        let endpoint = punctual::debug::Server::builder().bind(address)?.spawn();
        eprintln!("debug endpoint: http://{}/debug/drift", endpoint.local_addr());
    }
    let healthy = Rc::new(Healthy::default());
    for n in 0..HEALTHY_TASKS {
        let healthy = healthy.clone();
        drop(spawn_named(format!("healthy {n}"), async move {
            loop {
                keep_time(&healthy).await;
            }
        }));
    }
    let block = Duration::from_millis(options.block_ms);
    drop(spawn_named("blocks", now_and_then(block, healthy.clone())));
    let _ = timeout(Duration::from_secs(options.seconds), ctrl_c()).await;
    healthy.early.set(healthy.early.get() + drift().early);
    Ok((blame(), healthy))
}

async fn keep_time(healthy: &Healthy) {
    let deadline = Instant::now() + Duration::from_millis(2);
    sleep_until(deadline).await;
    let now = Instant::now();
    healthy.sleeps.set(healthy.sleeps.get() + 1);
    healthy.early.set(healthy.early.get() + u64::from(now < deadline));
    healthy.latest.set(healthy.latest.get().max(now - deadline));
}

/// A task that is polled every 5 ms, and blocks in one of twenty polls.
async fn now_and_then(block: Duration, healthy: Rc<Healthy>) {
    let mut interval = interval(Duration::from_millis(5));
    for turn in 1.. {
        interval.tick().await;
        if turn % ONE_IN == 0 {
            let (turn, began) = (metrics().turns, std::time::Instant::now());
            // What no task ought to do.
            std::thread::sleep(block);
            healthy.blocked.borrow_mut().push((turn, began.elapsed()));
        }
    }
}

fn print(blame: &Blame, healthy: &Healthy) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} turns took {:?} or longer, {} firings were late by as much or more; the worst:",
        blame.stalls, blame.threshold, blame.late_firings
    )?;
    for culprit in &blame.worst {
        writeln!(out, "{culprit}")?;
    }
    let (sleeps, early, latest) = (healthy.sleeps.get(), healthy.early.get(), healthy.latest.get());
    writeln!(out, "healthy tasks: {sleeps} sleeps of 2 ms, {early} early, the latest by {latest:.1?}")?;
    for (turn, took) in &*healthy.blocked.borrow() {
        writeln!(
            out,
            "by its own clock the task has blocked for {} ns in turn {turn}",
            took.as_nanos()
        )?;
    }
    Ok(())
}

fn print_json(blame: &Blame, healthy: &Healthy) -> std::io::Result<()> {
    use std::io::Write;
    let worst: Vec<_> = blame
        .worst
        .iter()
        .map(|culprit| {
            serde_json::json!({
                "kind": culprit.kind().as_str(),
                "name": culprit.name(),
                "location": culprit.location().map(ToString::to_string),
                "span": culprit.span().map(|span| span.name()),
                "turn": culprit.turn(),
                "held_ns": culprit.held().as_nanos() as u64,
                "ran_ns": culprit.ran().map(|ran| ran.as_nanos() as u64),
                "late_firings": culprit.late_firings(),
                "lateness_ns": culprit.lateness().as_nanos() as u64,
            })
        })
        .collect();
    let report = serde_json::json!({
        "stalls": blame.stalls,
        "late_firings": blame.late_firings,
        "threshold_ns": blame.threshold.as_nanos() as u64,
        "early": healthy.early.get(),
        "sleeps": healthy.sleeps.get(),
        "latest_ns": healthy.latest.get().as_nanos() as u64,
        "worst": worst,
    });
    writeln!(std::io::stdout().lock(), "{report}")
}

/// Prints what the runtime warns of.
struct Warnings;

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        eprintln!("{} {}", event.metadata().level(), line.0);
    }
}

/// The message of an event, without its fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
