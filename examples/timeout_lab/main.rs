//! Each of the faults that make timeouts silently useless, made for real, and what becomes of an operation under it.
//!
//! ```text
//! cargo run --release --example timeout_lab                       # all of them
//! cargo run --release --example timeout_lab -- --json             # the same rows, one JSON object a line
//! cargo run --release --example timeout_lab -- --only stalled_read
//! cargo run --release --example timeout_lab -- --list
//! ```
//!
//! It takes 7 s. Seven of 28 rows, without their diagnosis, of a virtual machine with two busy cores:
//!
//! ```text
//! scenario               set             what happened                    fired     late  class                 phase        leaked
//! refused                connect 5 s     nobody listens: RST            0.19 ms        -  Kernel(ECONNREFUSED)  tcp-connect  0/0/0
//! cancel_during_connect  connect 5 s     a thread cancels the scope     50.6 ms        -  Cancelled             tcp-connect  0/0/0
//! silent_dns             connect 200 ms  2 questions, no answer        200.2 ms   189 µs  Timeout               resolve      0/0/0
//! lying_dns              connect 5 s     6 forged answers refused       52.9 ms        -  Ok                    resolve      0/0/0
//! signal_storm           read 200 ms     734 signals during the read   200.1 ms    82 µs  Timeout               read         0/0/0
//! emfile_connect         connect 5 s     no descriptor left             0.05 ms        -  Kernel(EMFILE)        tcp-connect  0/0/0
//! stopped_process        read 300 ms     SIGSTOP for 500 ms            500.2 ms  200.2 ms  Timeout               read         0/0/0
//! ```
//!
//! # How it is made
//! - Every scenario is **a process of its own**, so that one that hangs can be ended, at ten times the time it is meant to
//!   take, and none sees the descriptors, signals or limits of another. The processes end with the one that
//!   started them, even if that is killed.
//! - The faults are **the kernel's**: a full accept queue that drops SYNs, a linger of zero that resets, a lowered
//!   `RLIMIT_NOFILE`. What loopback cannot do is done in a **network namespace** that is the scenario's own and is gone with
//!   its process. That takes root, or user namespaces for everybody; without, those scenarios are skipped, and say so.
//! - **Fired at** is this program's own clock, read before the deadline was set and after the operation ended; a timeout that
//!   is before its time by a nanosecond is a failure. **Late** is what it is beyond what was set; the loop is given no
//!   leeway, so that this is the kernel's wake-up and the loop's work.
//! - **Leaked** are descriptors (by `/proc/self/fd`), tasks, and timers with the loop's other registrations, that are there
//!   afterwards and were not before.
//!
//! Exit code: 0 if every scenario that could run behaved, 1 if one did not, 2 for a command line that makes no sense.

use std::process::ExitCode;

mod dns_server;
mod judge;
mod kernel;
mod lab;
mod namespace;
mod options;
mod peers;
mod row;
mod scenarios;
mod stalls;
mod subject;
mod supervisor;
mod table;

fn main() -> ExitCode {
    let options = options::Options::from_args();
    match options.subject() {
        Some(subject) => subject::run(&subject),
        None => supervisor::run(&options),
    }
}
