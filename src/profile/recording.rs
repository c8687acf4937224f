//! [`Profiler`] and the [`Recording`] it starts.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pprof::{ProfilerGuard, ProfilerGuardBuilder, UnresolvedReport};
use punctual_reactor::profile as labels;
use rustix::time::{ClockId, clock_gettime};

use crate::BlockingPool;
use crate::profile::report::{Measured, Profile};
use crate::profile::stacks;

/// Whether samples can be taken here: signals, unwinding and thread names as this module needs them.
const SUPPORTED: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// Starts CPU profiles.
#[derive(Clone, Copy, Debug)]
pub struct Profiler {
    frequency: u32,
}

impl Default for Profiler {
    fn default() -> Profiler {
        Profiler::new()
    }
}

impl Profiler {
    /// One that takes 99 samples a second of CPU time.
    ///
    /// 99 and not 100, so as not to march in step with what is done every 10 ms; and not ten times as many, because ten seconds of them
    /// tell shares within 5 % already, at a cost below 1 % of the CPU.
    #[must_use]
    pub fn new() -> Profiler {
        Profiler { frequency: 99 }
    }

    /// How many samples are taken per second of CPU time, from 1 to 1000. The kernel may take fewer.
    #[must_use]
    pub fn frequency(self, samples_per_second: u32) -> Profiler {
        Profiler { frequency: samples_per_second }
    }

    /// Begins to sample. The profile is of the whole process, and one at a time.
    ///
    /// # Errors
    /// - `ResourceBusy` while another profile is taken in this process.
    /// - `InvalidInput` for a frequency that is not from 1 to 1000.
    /// - `Unsupported` on other systems than Linux on x86-64 and aarch64.
    /// - What the kernel says of the thread, the temporary file or the signal handler that it needs.
    ///
    /// # Cancel safety
    /// When it is dropped nothing is sampled any more.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub async fn start(&self) -> io::Result<Recording> {
        if !SUPPORTED {
            let why = "CPU profiles are taken on Linux on x86-64 and aarch64 only";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        if !(1..=1000).contains(&self.frequency) {
            let why =
                format!("{} samples a second were asked for: 1 to 1000 can be had", self.frequency);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let turn = Turn::take()?;
        // What it takes is tens of megabytes of memory: not on the loop. Nor on its pool, which may be full just
        // when one wants to know why.
        let pool = BlockingPool::new(1, 1)?;
        let frequency = self.frequency;
        let sampling =
            pool.run(move || Sampling::start(frequency, turn)).await.map_err(io::Error::other)??;
        Ok(Recording { sampling, pool })
    }
}

/// A profile that is being taken. Dropping it ends that, and discards what was sampled.
#[must_use = "it samples for as long as it is kept"]
pub struct Recording {
    sampling: Sampling,
    pool: BlockingPool,
}

impl Recording {
    /// Ends the sampling, and makes a [`Profile`] of the samples, on a thread of its own.
    ///
    /// # Errors
    /// What the kernel says of the temporary file, or of the thread.
    ///
    /// # Cancel safety
    /// When it is dropped the profile is lost, and nothing else.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub async fn finish(self) -> io::Result<Profile> {
        let Recording { sampling, pool } = self;
        let measured = sampling.measured();
        let (report, turn) = pool.run(move || sampling.end()).await.map_err(io::Error::other)??;
        // Not before: what the loop was at when the sampling ended is noted at the end of that poll.
        let labels = labels::end();
        // Nor later: the next profile begins with labels of its own.
        drop(turn);
        let profile = pool.run(move || Profile::new(stacks::read(report, &labels), measured)).await;
        profile.map_err(io::Error::other)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("since", &self.sampling.began).finish_non_exhaustive()
    }
}

/// The right to sample: the timer, the signal and its handler belong to the process.
struct Turn;

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    fn take() -> io::Result<Turn> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            let why = "a CPU profile is being taken already: there is one at a time in a process";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        Ok(Turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If nobody has taken them: those of the next profile begin after this.
        drop(labels::end());
        TAKEN.store(false, Ordering::Release);
    }
}

/// The profiler while it runs.
struct Sampling {
    /// `None` once it has ended.
    profiler: Option<(ProfilerGuard<'static>, Turn)>,
    began: SystemTime,
    since: Instant,
    cpu_before: Duration,
    signals_before: u64,
}

impl Sampling {
    fn start(frequency: u32, turn: Turn) -> io::Result<Sampling> {
        // Where no stack can be walked; see the module's limits.
        let mut skipped = vec!["libgcc_s", "vdso"];
        if !labels::unwinds_anywhere() {
            skipped.extend(["libc.so", "libc-", "libpthread", "ld-"]);
        }
        let builder = ProfilerGuardBuilder::default().frequency(frequency as i32).blocklist(&skipped);
        labels::begin();
        let guard = builder.build().map_err(of_pprof)?;
        // What it took to begin is not measured; a sample in between, if there was one, carries no label.
        let sampling = Sampling {
            profiler: Some((guard, turn)),
            began: SystemTime::now(),
            since: Instant::now(),
            cpu_before: process_cpu(),
            signals_before: labels::signals(),
        };
        labels::wrap_handler()?;
        Ok(sampling)
    }

    /// Stops the sampling, and tells how much was sampled.
    fn measured(&self) -> Measured {
        labels::stop_timer();
        Measured {
            began: self.began,
            duration: self.since.elapsed(),
            cpu: process_cpu().saturating_sub(self.cpu_before),
            signals: labels::signals() - self.signals_before,
        }
    }

    /// With the right to sample, which is to be kept until the labels have been taken.
    fn end(mut self) -> io::Result<(UnresolvedReport, Turn)> {
        let Some((guard, turn)) = self.profiler.take() else { unreachable!("it is ended once") };
        let report = guard.report().build_unresolved().map_err(of_pprof);
        drop(guard);
        Ok((report?, turn))
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        let Some((guard, turn)) = self.profiler.take() else { return };
        labels::stop_timer();
        drop(labels::end());
        // The profiler makes its tables anew as it ends: tens of megabytes, not on the loop.
        let end = move || {
            drop(guard);
            drop(turn);
        };
        // If there is no thread to be had, the closure is dropped here, and the guard with it.
        drop(std::thread::Builder::new().name("profile-end".to_owned()).spawn(end));
    }
}

/// The CPU time that this process has used.
fn process_cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

fn of_pprof(error: pprof::Error) -> io::Error {
    match error {
        pprof::Error::Running => {
            io::Error::new(io::ErrorKind::ResourceBusy, "another profiler runs in this process")
        }
        pprof::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}
