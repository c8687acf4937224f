//! CPU profiles whose samples carry the task and the span they were taken in (feature `pprof`).
//!
//! ```text
//!   a sample:  thread "worker" │ task "api", spawned at src/main.rs:31:5 │ server › request{id=7} │ parse ◀ handle ◀ poll ◀ …
//!              └────────────────── labels in pprof's format, roots in the flame graph ──────────┘   └── its stack ──┘
//! ```
//!
//! The crate `pprof` samples: a timer of the kernel's counts the CPU time of the whole process (`ITIMER_PROF`, setitimer(2)) and
//! raises a signal in the thread that runs as it goes off, whose stack is then walked. Nobody is sampled who waits.
//!
//! - **Tasks** are told apart with nothing to be done for it: all runtimes of the process, and all their threads.
//! - **Spans** once a [`SpanLayer`] is in the `tracing` subscriber: a task which serves one request after the other has the
//!   samples of each under that request's own span.
//! - **Cost**: two loads a poll while no profile is taken; while one is, [`Profiler::frequency`] says how often the
//!   loop stands still for the length of a stack walk (tens of microseconds). The rest of the work (beginning, ending, looking symbols up) is done
//!   on a thread of its own.
//!
//! ```no_run
//! use std::time::Duration;
//! use punctual::{Runtime, profile};
//!
//! Runtime::new()?.block_on(async {
//!     let profile = profile::cpu(Duration::from_secs(10)).await?;
//!     std::fs::write("profile.pb", profile.to_pprof())?; // go tool pprof -tagfocus='span=.*id=7' profile.pb
//!     std::fs::write("flame.svg", profile.flamegraph()?)?;
//!     for share in profile.by_label() {
//!         println!("{share}");
//!     }
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Limits
//! - Linux on x86-64 and aarch64; elsewhere [`Unsupported`](std::io::ErrorKind::Unsupported).
//! - The kernel looks at the timer in its ticks: 100 to 1000 samples a second of CPU time, as it was built (`CONFIG_HZ`), whatever more is asked for.
//! - Code that was interrupted in the unwinder or in the kernel's vDSO (reading a clock) is not sampled, and with a glibc before 2.35
//!   none in the C library: no stack can be walked there safely. [`Profile::lost`] counts them.
//! - The names of functions come from the program's symbols, files and lines from its debug information
//!   (`debug = "line-tables-only"` is enough). Tasks and spans need neither.

mod encode;
mod flame;
mod recording;
mod report;
mod span_layer;
mod stacks;

use std::io;
use std::time::Duration;

pub use punctual_reactor::profile::{Place, TaskLabel};
pub use recording::{Profiler, Recording};
pub use report::{Profile, Share};
pub use span_layer::SpanLayer;

/// Profiles this process for `duration`, with the defaults of a [`Profiler`]. The loop goes on meanwhile.
///
/// # Errors
/// As [`Profiler::start`] and [`Recording::finish`].
///
/// # Cancel safety
/// When it is dropped the sampling stops at once, and nothing is left behind.
///
/// # Panics
/// When polled outside of a runtime.
pub async fn cpu(duration: Duration) -> io::Result<Profile> {
    let recording = Profiler::new().start().await?;
    crate::sleep(duration).await;
    recording.finish().await
}
