//! B03 on the real clock: a task that blocks, among others that do not.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use punctual::net::TcpStream;
use punctual::{Runtime, interval, sleep, sleep_until, spawn_named};

use super::Heard;
use crate::support::{self, MS, cpu_time, for_each_alarm, never_early_sleep, wire};

const STALLS: usize = 4;

#[test]
fn b03_callback_blocks_50ms_in_1_of_20_turns() {
    let _watchdog = support::watchdog("a task that blocks", Duration::from_secs(5));
    for_each_alarm(|runtime| {
        let heard = Heard::default();
        heard.during(|| block_now_and_then(runtime));
        let (blame, drift) = (runtime.blame(), runtime.drift());
        assert_eq!(drift.early, 0);
        assert!(drift.in_loop.max() >= 40 * MS, "a deadline of a millisecond was in the way: {drift:?}");
        let blocks: Vec<_> =
            blame.worst.iter().filter(|culprit| culprit.name() == Some("blocks")).collect();
        assert!(blocks.len() >= STALLS && blame.stalls >= STALLS as u64, "{blame:?}");
        for culprit in &blocks[..STALLS] {
            assert!(culprit.held() >= 50 * MS, "{culprit}");
            assert!(culprit.ran().is_none_or(|ran| ran < culprit.held()), "{culprit}");
            let at = culprit.location().expect("where it was spawned");
            assert!(at.file().ends_with("blame/real.rs"), "{culprit}");
        }
        assert!(blocks.iter().any(|culprit| culprit.late_firings() > 0), "{blame:?}");
        // On a busy machine anybody may be kept from running; nobody else has blocked.
        for innocent in blame.worst.iter().filter(|culprit| culprit.name() != Some("blocks")) {
            let ran = innocent.ran().is_none_or(|ran| ran * 2 >= innocent.held());
            assert!(ran || innocent.may_have_been_preempted(), "{innocent}");
        }
        let lines = heard.lines();
        let told = lines.iter().any(|line| {
            line.contains("task=blocks ") && line.contains("location=tests/it/blame/real.rs:")
        });
        assert!(told || blocks.len() < blame.worst.len(), "{lines:?}");
    });
}

/// Among timers and an echo, a task that blocks in one of twenty of its turns.
fn block_now_and_then(runtime: &Runtime) {
    runtime.block_on(async {
        let (near, far) = wire::pair();
        let echo = wire::spawn_echo(far);
        let healthy = spawn_named("healthy", async {
            for _ in 0..100 {
                never_early_sleep(MS).await;
            }
        });
        let blocks = spawn_named("blocks", async {
            let mut interval = interval(MS);
            for turn in 1..=20 * STALLS {
                interval.tick().await;
                if turn % 20 == 0 {
                    // A deadline that is certain to pass meanwhile.
                    let mut passes = pin!(sleep(MS));
                    let armed = poll_fn(|cx| Poll::Ready(passes.as_mut().poll(cx).is_pending())).await;
                    assert!(armed, "it has a millisecond");
                    std::thread::sleep(50 * MS);
                    passes.await;
                }
            }
        });
        blocks.await.expect("no panic");
        healthy.await.expect("no panic");
        near.round_trip(1).await.expect("an echo");
        // Later timers are unharmed.
        let deadline = runtime.now() + MS;
        sleep_until(deadline).await;
        assert!(runtime.now() >= deadline);
        echo.abort();
    });
}

#[test]
fn b03_who_runs_is_told_from_who_blocks() {
    for_each_alarm(|runtime| {
        runtime.block_on(async {
            let spins = spawn_named("spins", async {
                let began = cpu_time();
                while cpu_time() - began < 60 * MS {
                    std::hint::spin_loop();
                }
            });
            spins.await.expect("no panic");
            sleep(MS).await;
            let blocks = spawn_named("blocks", async { std::thread::sleep(60 * MS) });
            blocks.await.expect("no panic");
        });
        let blame = runtime.blame();
        let named = |name: &str| {
            let found = blame.worst.iter().find(|culprit| culprit.name() == Some(name));
            found.unwrap_or_else(|| panic!("no {name:?} in {blame:?}"))
        };
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            support::skip("what a thread has run is known on Linux only");
            return;
        }
        let (spins, blocks) = (named("spins"), named("blocks"));
        assert!(spins.ran().is_some_and(|ran| ran >= 60 * MS && ran <= spins.held()), "{spins}");
        assert!(blocks.ran().is_some_and(|ran| ran < 30 * MS), "{blocks}");
        let told = blocks.to_string();
        assert!(told.contains(": it blocked"), "{told}");
        assert!(!spins.to_string().contains("blocked") || spins.held() > 120 * MS, "{spins}");
    });
}

/// An error that ran out of time names who had the loop meanwhile.
#[test]
fn b03_an_error_names_who_held_the_loop() {
    for_each_alarm(|runtime| {
        runtime.block_on(async {
            let listener = punctual::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("its address");
            let stream = TcpStream::connect(address).await.expect("it is there");
            stream.set_read_timeout(Some(20 * MS)).expect("open");
            // From the turn on in which the read begins to wait, so that no wake-up, however late, comes in between.
            let holding = spawn_named("holds it", async { std::thread::sleep(60 * MS) });
            let error = stream.read(&mut [0; 8]).await.expect_err("silent");
            let told = error.to_string();
            let name = ", by task \"holds it\" spawned at tests/it/blame/real.rs:";
            assert!(told.contains(name), "{told}");
            holding.await.expect("no panic");
        });
    });
}
