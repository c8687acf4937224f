//! The warning: what it says, and how often.

use std::time::Duration;

use punctual::{Instant, Runtime, VirtualClock, sleep, sleep_until, spawn, spawn_named};

use super::Heard;
use crate::support::{MS, virtual_runtime};

fn hearing(test: impl FnOnce(&Heard, &Runtime, &VirtualClock)) {
    let heard = Heard::default();
    let (runtime, clock) = virtual_runtime();
    heard.during(|| test(&heard, &runtime, &clock));
}

#[test]
fn b03_the_warning_names_the_culprit_in_fields_and_in_words() {
    hearing(|heard, runtime, clock| {
        runtime.block_on(async {
            let began = Instant::now();
            let due = spawn(sleep_until(began + 10 * MS));
            let span = tracing::info_span!("request");
            let holding = span.in_scope(|| {
                let clock = clock.clone();
                spawn_named("re\nport", async move {
                    sleep_until(began + 7 * MS).await;
                    clock.advance(50 * MS);
                })
            });
            let of_it = punctual::task_info(holding.id()).expect("it lives");
            assert_eq!(of_it.span.map(|span| span.name()), Some("request"));
            assert!(of_it.span_id.is_some());
            holding.await.expect("no panic");
            due.await.expect("no panic");
        });
        let culprit = &runtime.blame().worst[0];
        assert_eq!(culprit.span().map(|span| span.name()), Some("request"));
        let (at, turn) = (culprit.location().expect("a place"), culprit.turn());
        let lines = heard.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for field in [
            "culprit=task ",
            "task=re\\nport ",
            &format!("location={at} "),
            "span=request ",
            "held_ms=50.0 ",
            &format!("turn={turn} "),
            "late_firings=1 ",
            "late_ms=47.0 ",
            "suppressed=0 ",
            &format!(
                "message=the loop was held up: task \"re\\nport\" spawned at {at} in span \"request\" \
                 held the loop for 50.0ms in turn {turn}, 1 firing late by 47.0ms "
            ),
        ] {
            assert!(lines[0].contains(field), "{field:?} is missing in {:?}", lines[0]);
        }
    });
}

#[test]
fn b03_there_is_one_warning_a_second_and_it_says_what_was_left_out() {
    hearing(|heard, runtime, clock| {
        runtime.block_on(async {
            for n in 0..40 {
                clock.advance((20 + n) * MS);
                sleep(MS).await;
            }
        });
        // 20 ms and more forty times, with a millisecond in between: 1.62 s in all.
        let lines = heard.lines();
        assert_eq!((runtime.blame().stalls, lines.len()), (40, 2), "{lines:?}");
        assert!(lines[0].contains("held_ms=20.0 ") && lines[0].contains("suppressed=0 "), "{lines:?}");
        // From 20 ms to 50 ms they add up to 1.116 s, milliseconds in between included.
        let left_out = lines[1].split_once("suppressed=").expect("the field").1;
        let left_out: u32 = left_out.split(' ').next().expect("a word").parse().expect("a number");
        assert!(lines[1].contains(&format!("held_ms={}.0 ", 20 + left_out + 1)), "{lines:?}");
        assert!((25..31).contains(&left_out), "{lines:?}");
        runtime.block_on(async { sleep(Duration::from_secs(1)).await });
        runtime.block_on(async { clock.advance(20 * MS) });
        let lines = heard.lines();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains(&format!("suppressed={} ", 40 - 2 - left_out)), "{lines:?}");
    });
}

#[test]
fn b03_a_loop_that_keeps_time_says_nothing() {
    hearing(|heard, runtime, clock| {
        runtime.block_on(async {
            for _ in 0..100 {
                clock.advance(19 * MS);
                sleep(MS).await;
            }
        });
        assert!(heard.lines().is_empty(), "{:?}", heard.lines());
    });
}
