//! The processes: how the first one has the others do something, and hears from them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Order {
    Go = 0,
    /// From here on all connections are there.
    Measure = 1,
    /// End all faults.
    Heal = 2,
    /// Come to an end, and report.
    Finish = 3,
}

/// Another process of this program, seen from the first.
pub(crate) struct Other {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Other {
    /// Starts one; its words are those of this process, with these instead where they differ.
    pub(crate) fn start(name: &'static str, words: &[String]) -> Other {
        let this = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(this);
        command.args(["--role", name]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program starts again");
        let orders = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("it was piped"));
        Other { name, child, orders, lines }
    }

    /// The next thing it says.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        let heard = self.lines.read_line(&mut line).map_err(|error| error.to_string());
        let parsed = heard.and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()));
        parsed.unwrap_or_else(|error| panic!("the {} said {line:?}: {error}", self.name))
    }

    pub(crate) fn order(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            // One that has failed says so by its end.
            let _ = writeln!(orders, "{order:?}").and_then(|()| orders.flush());
        }
    }

    /// Its report, and its end.
    pub(crate) fn finish<T: DeserializeOwned>(mut self) -> T {
        self.order(Order::Finish);
        let report = self.hear();
        drop(self.orders.take());
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "the {} failed: {status}", self.name);
        report
    }
}

/// Says something to the first process.
pub(crate) fn say(what: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    let line = serde_json::to_string(what).expect("plain data");
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the first process listens");
}

/// The latest order, kept by a thread that reads them. Without the first process this one ends.
pub(crate) fn orders() -> Arc<AtomicU8> {
    let latest = Arc::new(AtomicU8::new(Order::Go as u8));
    let told = latest.clone();
    std::thread::spawn(move || {
        let mut finished = false;
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let order = match line.as_str() {
                "Measure" => Order::Measure,
                "Heal" => Order::Heal,
                _ => Order::Finish,
            };
            finished |= order == Order::Finish;
            told.store(order as u8, Ordering::Release);
        }
        if !finished {
            std::process::exit(1);
        }
    });
    latest
}
