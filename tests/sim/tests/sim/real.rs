//! The same bodies on the real kernel, over loopback.

use punctual_tests_sim::runner::{Plan, Run};
use punctual_tests_sim::scenarios::ALL;

#[test]
fn the_same_scenarios_hold_on_the_real_kernel() {
    for scenario in ALL.iter().filter(|scenario| !scenario.simulated_only) {
        for seed in 0..40 {
            let run = Run { scenario: *scenario, seed, plan: Plan::Undisturbed };
            if let Err(failure) = run.run_for_real() {
                panic!("{failure}");
            }
        }
    }
}
