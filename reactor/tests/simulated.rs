//! The simulated kernel (feature `test`): the same code on it, as on the real one.
#![cfg(all(feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::time::Duration;

use punctual_reactor::simulation::{Faults, Simulation};
use punctual_reactor::{Instant, sleep};

#[test]
fn t26_sleeps_take_virtual_time_and_one_seed_is_one_trace() {
    let run = |seed| {
        Simulation::new(seed).faults(Faults::mixed(seed)).run(async |_| {
            for hours in 1..10 {
                let began = Instant::now();
                sleep(Duration::from_secs(3_600 * hours)).await;
                assert!(began.elapsed() >= Duration::from_secs(3_600 * hours));
            }
        })
    };
    let mut traces = Vec::new();
    for seed in 0..100 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!(one.trace, other.trace);
        assert!(one.simulated >= Duration::from_secs(45 * 3_600));
        traces.push(one.trace);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 100);
}
