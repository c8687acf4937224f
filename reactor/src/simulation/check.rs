//! What has to hold whenever the loop goes to sleep.

use super::{ERR, HUP, IN, OUT, with_kernel};
use crate::reactor::Reactor;
use crate::readiness::Direction;
use crate::source::NEVER;
use crate::token::Token;

impl Reactor {
    /// The loop is about to sleep until `until_ns`, in a simulation. Checks that nobody waits for what has come already, and that
    /// nothing that is to fire was left out of the alarm.
    pub(crate) fn check_before_sleep(&mut self, until_ns: u64) {
        if !super::is_entered() {
            return;
        }
        let mut failures = Vec::new();
        let mut waiting_sides = 0;
        for (id, source) in self.sources.iter_mut() {
            let ends_anyway =
                source.interrupted().is_some() || source.raw.get() || source.in_memory.get();
            let counts = !source.in_memory.get();
            for direction in Direction::BOTH {
                let readiness = source.readiness.get();
                let side = source.side(direction);
                let (wanted_ns, waiting) = (side.wanted.get(), side.waiting.get());
                waiting_sides += usize::from(waiting > 0 && counts);
                if waiting == 0 || ends_anyway {
                    continue;
                }
                let latest_ns = wanted_ns.saturating_add(side.leeway.get().as_nanos());
                if wanted_ns != NEVER && until_ns > latest_ns {
                    failures.push(format!("the {direction:?} deadline of {id:?} is not in the alarm"));
                }
                let due_ns = side.deadline().min(side.own());
                if wanted_ns > due_ns && due_ns > side.elapsed().at_ns {
                    failures.push(format!("the {direction:?} side of {id:?} waits beyond its deadline"));
                }
                let mask = match direction {
                    Direction::Read => IN,
                    Direction::Write => OUT,
                };
                let data = Token::to_mio(id).0 as u64;
                let ready = with_kernel(|kernel| kernel.is_ready_in_silence(data, mask | ERR | HUP));
                if ready == Some(true) && side.has_waiters() {
                    let latched =
                        if readiness.allows(direction) { ", and the loop knows it" } else { "" };
                    failures.push(format!(
                        "a wake-up was lost: {id:?} is ready for {direction:?}, and who waits is not told{latched}"
                    ));
                }
            }
        }
        if waiting_sides != self.waiting_sides {
            failures.push(format!("{waiting_sides} sides wait, and {} are counted", self.waiting_sides));
        }
        if let Some(failure) = failures.first() {
            with_kernel(|kernel| kernel.fail(failure));
        }
    }
}
