//! The wall clock steps by an hour, forward and back, while timers and deadlines are pending.

use std::path::Path;
use std::time::{Duration, SystemTime};

use punctual::reactor::{Direction, Failure};
use punctual::{Instant, spawn};

use crate::support::{self, MS, child, never_early_sleep, wire};

const HOUR: Duration = Duration::from_secs(3600);
const STEPS: &str = "PUNCTUAL_WALL_STEPS";

/// libfaketime shifts what the process reads of the wall clock, and leaves the monotonic one alone.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

#[test]
fn t27_a_stepped_wall_clock_moves_no_deadline() {
    if child::plays("wall steps") {
        return step_the_wall_clock();
    }
    let Some(library) = LIBRARIES.into_iter().find(|library| Path::new(library).exists()) else {
        return support::skip("no libfaketime here to step the wall clock with: install `libfaketime`");
    };
    let steps = support::temporary("wall");
    std::fs::write(&steps, "+0\n").expect("a file to step by");
    let mut command =
        child::command("timers::wall_clock::t27_a_stepped_wall_clock_moves_no_deadline", "wall steps");
    command.env("LD_PRELOAD", library).env(STEPS, &steps).env("FAKETIME_TIMESTAMP_FILE", &steps);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("DONT_FAKE_MONOTONIC", "1");
    child::succeed(command);
    std::fs::remove_file(&steps).expect("it is there");
}

fn step_the_wall_clock() {
    let _watchdog = support::watchdog("t27", Duration::from_secs(3));
    let steps = std::env::var_os(STEPS).expect("the parent says where");
    let began = SystemTime::now();
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            for step in ["+1h\n", "-1h\n", "+0\n"] {
                let deadline = Instant::now() + 40 * MS;
                near.io.set_deadline(Direction::Read, Some(deadline)).expect("open");
                let sleeping = spawn(never_early_sleep(30 * MS));
                never_early_sleep(10 * MS).await;
                std::fs::write(&steps, step).expect("the file is ours");
                let Err(Failure::Elapsed(elapsed)) = near.read_byte().await else {
                    panic!("nothing was sent")
                };
                assert!(Instant::now() >= deadline && elapsed.fired >= deadline, "never early");
                sleeping.await.expect("never early, and it ends");
            }
        });
    });
    // It did step, or nothing was tried.
    std::fs::write(&steps, "+1h\n").expect("the file is ours");
    let ahead = SystemTime::now().duration_since(began).expect("ahead");
    assert!(ahead > HOUR / 2, "the wall clock has not been stepped: {ahead:?}");
}
