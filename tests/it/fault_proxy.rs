//! B05: many connections that ask and answer through a proxy which does to them what networks do.
//!
//! ```text
//! PUNCTUAL_SOAK=5min PUNCTUAL_SEED=7 cargo test --release --test it -- b05_stress --nocapture
//! ```

mod load;
mod proxy;

use std::collections::BTreeSet;
use std::time::Duration;

use punctual::Runtime;
use rustix::time::{ClockId, clock_gettime};

use crate::support::child::{self, Talking};
use crate::support::fault_proxy::{FaultProxy, seeded};
use crate::support::namespace::{namespace, sh};
use crate::support::net::{assert_baseline, listen};
use crate::support::{ALARMS, MS, on_threads, seeds, watchdog};
use load::Load;

/// How long without `PUNCTUAL_SOAK`.
const SHORT: Duration = Duration::from_secs(10);
/// From this on the memory of the process is held to what it was.
const SOAK: Duration = Duration::from_secs(60);

#[test]
fn b05_stress_through_a_fault_proxy() {
    // Descriptors and memory are the whole process's.
    if child::plays("stress") {
        return stress();
    }
    if child::plays("stress in a namespace") {
        sh("ip link set lo up");
        return stress();
    }
    let test = "fault_proxy::b05_stress_through_a_fault_proxy";
    // Thousands of connections stay in TIME_WAIT, where they take ports, and time from whoever lists sockets.
    let command = match namespace() {
        Ok(way) => child::wrapped(way, test, "stress in a namespace"),
        Err(_) => child::command(test, "stress"),
    };
    Talking::start(command).succeed();
}

fn stress() {
    let duration = std::env::var("PUNCTUAL_SOAK").map_or(SHORT, |text| {
        humantime::parse_duration(&text).expect("PUNCTUAL_SOAK is a duration, as 5min")
    });
    let seed = seeds(&[5])[0];
    println!("PUNCTUAL_SEED={seed} PUNCTUAL_SOAK={}", humantime::format_duration(duration));
    let _watchdog = watchdog("b05", duration.max(SHORT));
    let fds_before = descriptors();
    on_threads(ALARMS, |alarm| {
        let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
        one_loop(&runtime, duration, seed);
        assert_baseline(&runtime);
        assert_eq!(runtime.drift().early, 0, "{alarm:?}, seed {seed}");
    });
    assert_eq!(descriptors(), fds_before, "descriptors left; seed {seed}");
}

/// Clients, the server they reach through the proxy, and what is done to them, in order.
fn one_loop(runtime: &Runtime, duration: Duration, seed: u64) {
    let (load, memory) = runtime.block_on(async {
        let (listener, address) = listen();
        let load = Load::start(listener, FaultProxy::start(address, seeded(seed)), seed);
        let mut memory = Vec::new();
        let second = Duration::from_secs(1);
        for _ in 0..duration.as_secs() {
            punctual::sleep(second).await;
            memory.push(resident());
        }
        // From here on nobody gives up, so that what hangs when the network heals is there to be seen.
        load.be_patient();
        punctual::sleep(1_500 * MS).await;
        silence(runtime, &load).await;
        load.heal();
        load.finish().await;
        (load, memory)
    });
    println!("{load}");
    load.saw_everything();
    if duration >= SOAK {
        let quarter = memory.len() / 4;
        let [early, late] = [&memory[quarter..2 * quarter], &memory[3 * quarter..]].map(median);
        println!("resident: {early} KiB in the second quarter, {late} KiB in the last");
        assert!(late <= early + early / 10 + 1_024, "memory grows: {early} to {late} KiB; seed {seed}");
    }
}

/// O5: while nothing moves, nothing is done.
async fn silence(runtime: &Runtime, load: &Load) {
    load.set_silent(true);
    // What was under way arrives.
    punctual::sleep(100 * MS).await;
    let (before, cpu_before) = (runtime.metrics(), cpu_time());
    let pause = 400 * MS;
    punctual::sleep(pause).await;
    let (after, cpu) = (runtime.metrics(), cpu_time() - cpu_before);
    load.set_silent(false);
    let turns = after.turns - before.turns;
    let reasons = (after.events - before.events) + (after.fired - before.fired);
    assert!(cpu <= pause / 5, "{cpu:?} of CPU time in {pause:?} in which nothing moves");
    assert!(turns <= 2 * reasons + 20, "it spun: {turns} turns for {reasons} events and timers");
}

/// Of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Each by its number and what it is.
fn descriptors() -> BTreeSet<String> {
    let listing = std::fs::read_dir("/proc/self/fd").expect("procfs");
    let named = listing.flatten().filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let target = target.to_string_lossy().into_owned();
        // The listing itself is one.
        (!target.starts_with("/proc/")).then(|| format!("{:?} {target}", entry.file_name()))
    });
    named.collect()
}

/// KiB of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its resident size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}
