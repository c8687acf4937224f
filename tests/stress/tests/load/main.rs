//! B05: clients that ask and a server that answers, on one loop, through a proxy which does to them what networks do; with each of
//! the kernel's alarms.
//!
//! ```text
//! PUNCTUAL_SOAK_SECONDS=300 PUNCTUAL_SEED=7 cargo test --release -p punctual-tests-stress --test load -- --nocapture
//! ```

mod load;

use std::time::Duration;

use punctual::{AlarmKind, Runtime};
use punctual_tests_stress::proxy::{FaultProxy, Faults};
use punctual_tests_stress::rig::{self, MS, assert_baseline, watchdog};
use punctual_tests_stress::{alone, child};

use load::Load;

/// How long without `PUNCTUAL_SOAK_SECONDS`.
const SHORT: Duration = Duration::from_secs(10);
/// From this on the memory of the process is held to what it was.
const SOAK: Duration = Duration::from_secs(60);

#[test]
fn b05_stress_through_a_fault_proxy() {
    // Descriptors and memory are the whole process's.
    if !alone!(child::in_namespace) {
        return;
    }
    let duration = set_in_environment("PUNCTUAL_SOAK_SECONDS").map_or(SHORT, Duration::from_secs);
    let seed = set_in_environment("PUNCTUAL_SEED").unwrap_or(5);
    println!("PUNCTUAL_SEED={seed} PUNCTUAL_SOAK_SECONDS={}", duration.as_secs());
    let _watchdog = watchdog("b05", duration + 2 * rig::PATIENCE);
    let before = rig::descriptors();
    std::thread::scope(|scope| {
        for alarm in [AlarmKind::TimerFd, AlarmKind::PollTimeout] {
            scope.spawn(move || {
                let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
                one_loop(&runtime, duration, seed);
                assert_baseline(&runtime);
            });
        }
    });
    assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new(), "seed {seed}");
}

/// A number, as the environment has it.
fn set_in_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Clients, the server they reach through the proxy, and what is done to them, in order.
fn one_loop(runtime: &Runtime, duration: Duration, seed: u64) {
    let (load, resident_kib) = runtime.block_on(async {
        let (listener, address) = rig::listen();
        let plan = move |client| Faults::drawn_by_port(seed, client);
        let load = Load::start(listener, FaultProxy::start(&[address], plan), seed);
        let mut resident_kib = Vec::new();
        for _ in 0..duration.as_secs() {
            punctual::sleep(Duration::from_secs(1)).await;
            resident_kib.push(rig::resident_kib());
        }
        // From here on nobody gives up, so that what hangs when the network heals is there to be seen.
        load.be_patient();
        punctual::sleep(1_500 * MS).await;
        silence(runtime, &load).await;
        load.heal();
        load.finish().await;
        (load, resident_kib)
    });
    println!("{load}");
    load.saw_everything();
    if duration >= SOAK {
        let quarter = resident_kib.len() / 4;
        let quarters = [&resident_kib[quarter..2 * quarter], &resident_kib[3 * quarter..]];
        let [early, late] = quarters.map(median);
        println!("resident: {early} KiB in the second quarter, {late} KiB in the last");
        assert!(late <= early + early / 10 + 1_024, "memory grows: {early} to {late} KiB; seed {seed}");
    }
}

/// O5: while nothing moves, nothing is done.
async fn silence(runtime: &Runtime, load: &Load) {
    load.set_silent(true);
    // What was under way arrives.
    punctual::sleep(100 * MS).await;
    let (before, cpu_before) = (runtime.metrics(), rig::thread_cpu());
    let pause = 400 * MS;
    punctual::sleep(pause).await;
    let (after, cpu) = (runtime.metrics(), rig::thread_cpu() - cpu_before);
    load.set_silent(false);
    let turns = after.turns - before.turns;
    let reasons = (after.events - before.events) + (after.fired - before.fired);
    assert!(cpu <= pause / 5, "{cpu:?} of CPU time in {pause:?} in which nothing moves");
    assert!(turns <= 2 * reasons + 20, "it spun: {turns} turns for {reasons} events and timers");
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}
