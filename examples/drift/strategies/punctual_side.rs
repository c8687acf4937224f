//! punctual itself, by default and in precise mode. A runtime is built on the thread that uses it and stays there.

use std::{cell::Cell, io, pin::pin, rc::Rc, time::Duration};

use punctual::{Precise, Runtime};

use super::{Account, Firing, Kind, Load, Strategy, load_interval_ns, now_ns, thread_cpu_ns};

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
            let _detached = runtime.spawn(async move {
                loop {
                    punctual::sleep(Duration::from_nanos(load_interval_ns(&mut rng))).await;
                    fired.set(fired.get() + 1);
                }
            });
        }
        Ok(Box::new(Punctual { runtime, loaded: load.timers > 0, load_fired }))
    }
}

impl Strategy for Punctual {
    fn run(&mut self, wait: Duration) -> io::Result<Firing> {
        if self.loaded {
            // Load timers that fell due while others had their turn fire before this one, and are out of the way.
            self.runtime.block_on(async { punctual::sleep(Duration::from_nanos(1)).await });
        }
        self.runtime.block_on(async {
            let (before, fired) = (self.runtime.metrics(), self.load_fired.get());
            let cpu_start_ns = thread_cpu_ns();
            let deadline_ns = now_ns() + wait.as_nanos() as u64;
            let mut sleep = pin!(punctual::sleep(wait));
            sleep.as_mut().await;
            let now_ns = now_ns();
            let cpu_ns = thread_cpu_ns() - cpu_start_ns;
            let after = self.runtime.metrics();
            Ok(Firing {
                cpu_ns,
                lateness_ns: now_ns as i64 - deadline_ns as i64,
                // Polls of zero length while spinning are waits too, as they are for the loop that spins by mistake.
                waits: after.polls + after.spin_polls - before.polls - before.spin_polls,
                timers: 1 + self.load_fired.get() - fired,
                account: sleep.firing().map(|firing| Account {
                    quantisation_ns: firing.quantisation.as_nanos() as u64,
                    kernel_ns: firing.kernel.as_nanos() as u64,
                    loop_ns: firing.in_loop.as_nanos() as u64,
                    early: after.early - before.early,
                }),
            })
        })
    }
}
