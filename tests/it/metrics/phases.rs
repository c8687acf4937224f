//! Timeouts by phase and cause, against the test's own count and, on a virtual clock, its own lengths.

use std::time::Duration;

use punctual::net::duplex;
use punctual::{PhaseEnding, TimeoutBy, scope, spawn, yield_now};

use crate::support::{MS, virtual_runtime};

#[test]
fn m21_timeouts_of_reads_are_counted_by_their_cause_and_last_what_they_lasted() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let (near, far) = duplex(64);
        near.set_read_timeout(Some(5 * MS)).expect("open");
        for _ in 0..3 {
            near.read(&mut [0; 8]).await.expect_err("nobody writes");
        }
        for _ in 0..2 {
            let read = scope("short", 2 * MS, async |_| near.read(&mut [0; 8]).await);
            drop(read.await);
        }
        let reading = spawn(async move { near.read(&mut [0; 8]).await.map(drop) });
        yield_now().await;
        far.write_all(b"x").await.expect("room");
        reading.await.expect("no panic").expect("a byte");
    });
    let metrics = runtime.metrics();
    let read = metrics.phases.iter().find(|phase| phase.phase == "read").expect("reads were recorded");
    let count = |ending| read.endings.count(ending);
    let idle = count(PhaseEnding::Timeout(TimeoutBy::Idle));
    let by_scope = count(PhaseEnding::Timeout(TimeoutBy::Scope));
    assert_eq!((idle, by_scope, count(PhaseEnding::Done)), (3, 2, 1), "{read:?}");
    assert_eq!(read.endings.total(), 6);
    assert_eq!(read.cut_off.count(), 5);
    assert_eq!(read.cut_off.sum(), 3 * 5 * MS + 2 * 2 * MS);
    assert_eq!((read.cut_off.max(), read.done.sum()), (5 * MS, Duration::ZERO));
    // The firings behind them are in the drift too.
    assert_eq!((metrics.fired, metrics.drift.total.count(), metrics.elapsed_scopes), (5, 5, 2));
}
