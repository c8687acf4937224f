//! punctual itself, by default and in precise mode. A runtime is built on the thread that uses it and stays there.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use punctual::{Precise, Runtime};

use super::{Firing, Kind, Load, Parts, Strategy, load_interval_ns, now_ns, thread_cpu_ns};

pub(super) fn kinds() -> [Kind; 2] {
    [
        Kind { name: "punctual", build: |load| Punctual::boxed(Runtime::new()?, load) },
        Kind {
            name: "punctual_precise",
            build: |load| Punctual::boxed(Runtime::builder().precise(Precise::default()).build()?, load),
        },
    ]
}

struct Punctual {
    runtime: Runtime,
    loaded: bool,
    /// Firings of the load so far.
    load_fired: Rc<Cell<u64>>,
}

impl Punctual {
    fn boxed(runtime: Runtime, load: &Load) -> io::Result<Box<dyn Strategy>> {
        let load_fired = Rc::new(Cell::new(0));
        for timer in 0..load.timers as u64 {
            let mut rng = fastrand::Rng::with_seed(load.seed.wrapping_add(timer));
            let fired = Rc::clone(&load_fired);
            runtime.spawn(async move {
                loop {
                    punctual::sleep(Duration::from_nanos(load_interval_ns(&mut rng))).await;
                    fired.set(fired.get() + 1);
                }
            });
        }
        Ok(Box::new(Punctual { runtime, loaded: load.timers > 0, load_fired }))
    }

    /// System calls that waited, those of zero length while spinning included.
    fn waits(&self) -> u64 {
        let metrics = self.runtime.metrics();
        metrics.polls + metrics.spin_polls
    }
}

impl Strategy for Punctual {
    fn run(&mut self, wait: Duration) -> io::Result<Firing> {
        if self.loaded {
            // Load timers that fell due while others had their turn fire before this one, and are out of the way.
            self.runtime.block_on(punctual::sleep(Duration::from_nanos(1)));
        }
        let (waits, fired) = (self.waits(), self.load_fired.get());
        let (lateness_ns, cpu_ns) = self.runtime.block_on(async {
            let cpu_start_ns = thread_cpu_ns();
            let deadline_ns = now_ns() + wait.as_nanos() as u64;
            punctual::sleep(wait).await;
            let now_ns = now_ns();
            (now_ns as i64 - deadline_ns as i64, thread_cpu_ns() - cpu_start_ns)
        });
        Ok(Firing {
            lateness_ns,
            cpu_ns,
            waits: self.waits() - waits,
            timers: 1 + self.load_fired.get() - fired,
        })
    }

    fn parts(&self) -> Option<Parts> {
        let drift = self.runtime.drift();
        let both = |part: &punctual::Histogram| [0.5, 0.99].map(|q| part.quantile(q).as_nanos() as u64);
        Some(Parts {
            total_ns: both(&drift.total),
            quantisation_ns: both(&drift.quantisation),
            kernel_ns: both(&drift.kernel),
            loop_ns: both(&drift.in_loop),
            early: drift.early,
        })
    }
}
