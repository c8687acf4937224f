//! The plainest event loop there is, so that a raw way of waiting can be given other timers to serve: a binary heap of
//! deadlines, wait for the earliest, fire it, look again. It trusts the wait and fires when that returns, as naive
//! loops do; a wait that returns early is thus an early firing.

use std::{cmp::Reverse, collections::BinaryHeap, io, time::Duration};

use super::{Firing, Load, Strategy, Wait, load_interval_ns, now_ns, thread_cpu_ns};

pub(crate) struct Naive<W> {
    wait: W,
    load: usize,
    rng: fastrand::Rng,
    heap: BinaryHeap<Reverse<u64>>,
}

impl<W: Wait + 'static> Naive<W> {
    pub(crate) fn boxed(wait: W, load: &Load) -> Box<dyn Strategy> {
        let (timers, rng) = (load.timers, fastrand::Rng::with_seed(load.seed));
        Box::new(Naive { wait, load: timers, rng, heap: BinaryHeap::with_capacity(timers + 1) })
    }

    /// The loop stood still while other strategies had their turn: its timers start anew.
    fn arm_load(&mut self) {
        self.heap.clear();
        let now_ns = now_ns();
        for _ in 0..self.load {
            self.heap.push(Reverse(now_ns + load_interval_ns(&mut self.rng)));
        }
    }
}

impl<W: Wait + 'static> Strategy for Naive<W> {
    fn run(&mut self, wait: Duration) -> io::Result<Firing> {
        self.arm_load();
        let cpu_start_ns = thread_cpu_ns();
        let mut now = now_ns();
        let deadline_ns = now + wait.as_nanos() as u64;
        let mut firing = Firing { lateness_ns: 0, cpu_ns: 0, waits: 0, timers: 1, account: None };
        loop {
            let load_ns = self.heap.peek().map_or(u64::MAX, |earliest| earliest.0);
            let next_ns = deadline_ns.min(load_ns);
            if now < next_ns {
                firing.waits += self.wait.wait(now, next_ns)?;
            }
            now = now_ns();
            if next_ns == deadline_ns {
                break;
            }
            self.heap.pop();
            self.heap.push(Reverse(now + load_interval_ns(&mut self.rng)));
            firing.timers += 1;
        }
        firing.cpu_ns = thread_cpu_ns() - cpu_start_ns;
        firing.lateness_ns = now as i64 - deadline_ns as i64;
        Ok(firing)
    }
}
