//! A cancel, and a drop, at every moment that a scenario has.

use punctual_tests_sim::runner::{Plan, Run};
use punctual_tests_sim::scenarios::{ALL, Scenario};

/// How many seeds of each scenario are taken apart, and how many moments of each at most.
const ROUNDS: u64 = if cfg!(debug_assertions) { 1 } else { 4 };

fn check(run: &Run) -> punctual::test::Report<punctual_tests_sim::runner::Ended> {
    run.simulate().unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs `disturbed` for every moment of a few runs of each scenario, until it is too late to disturb it.
fn everywhere(disturbed: impl Fn(u64) -> Plan) {
    for (number, scenario) in ALL.iter().enumerate() {
        let mut moments = 0;
        for round in 0..ROUNDS {
            let seed = 1_000_000 + round * ALL.len() as u64 + number as u64;
            moments += every_moment(*scenario, seed, &disturbed);
        }
        println!("{}: {moments} moments", scenario.name);
        assert!(moments > 0, "{} has no moment", scenario.name);
    }
}

fn every_moment(scenario: Scenario, seed: u64, disturbed: &impl Fn(u64) -> Plan) -> u64 {
    for moment in 0.. {
        let report = check(&Run { scenario, seed, plan: disturbed(moment) });
        if report.value.by_itself {
            return moment;
        }
    }
    unreachable!("there are not so many numbers")
}

#[test]
fn k05_cancel_at_every_loop_event() {
    everywhere(Plan::CancelAt);
}

#[test]
fn k06_drop_at_every_loop_event() {
    everywhere(Plan::DropAt);
}

#[test]
fn k06_drop_at_every_poll() {
    everywhere(Plan::DropAfterPolls);
}
