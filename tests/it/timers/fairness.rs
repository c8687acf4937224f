//! Nobody starves.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use punctual::{interval, sleep, yield_now};

use crate::support::{self, MS, cpu_time, wire};

#[test]
fn a_self_waking_task_a_millisecond_timer_and_a_busy_socket_side_by_side() {
    let _watchdog = support::watchdog("side by side", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        let [yields, ticks, echoes] = [(); 3].map(|()| Rc::new(Cell::new(0u64)));
        let count = |counter: &Rc<Cell<u64>>| {
            let counter = counter.clone();
            move || counter.set(counter.get() + 1)
        };
        let cpu_before = cpu_time();
        let (yielded, ticked, echoed) = (count(&yields), count(&ticks), count(&echoes));
        runtime.block_on(async {
            let greedy = runtime.spawn(async move {
                loop {
                    yielded();
                    yield_now().await;
                }
            });
            let ticker = runtime.spawn(async move {
                let mut interval = interval(MS);
                loop {
                    interval.tick().await;
                    ticked();
                }
            });
            let (near, far) = wire::pair();
            let echo = wire::spawn_echo(far);
            let busy = runtime.spawn(async move {
                loop {
                    near.round_trip(1).await.expect("an echo");
                    echoed();
                }
            });
            sleep(Duration::from_secs(1)).await;
            [greedy.abort(), ticker.abort(), busy.abort(), echo.abort()]
        });
        let cpu_ms = (cpu_time() - cpu_before).as_millis() as u64;
        let turns = runtime.metrics().turns;
        let (yields, ticks, echoes) = (yields.get(), ticks.get(), echoes.get());
        let counts = format!(
            "{yields} yields, {ticks} ticks, {echoes} echoes in {turns} turns, {cpu_ms} ms of CPU"
        );
        // A round trip takes an event for each end, so it may take two turns and a bit.
        assert!(yields >= turns / 2, "the task runs in every turn: {counts}");
        assert!(echoes >= turns / 8, "the socket is served every few turns: {counts}");
        assert!(ticks >= cpu_ms / 10, "the timer is seen between them: {counts}");
    });
}

#[test]
fn a_reader_over_its_budget_waits_for_the_next_turn() {
    const ALL: usize = 64 * 1024;
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, mut far) = mio::net::UnixStream::pair().expect("a pair");
            let sent: Vec<u8> = (0..ALL).map(|at| (at / 64 + at) as u8).collect();
            far.write_all(&sent).expect("room");
            let near = wire::Wire::new(near);
            let before = runtime.metrics();
            let (mut received, mut buffer) = (Vec::new(), [0; 64]);
            while received.len() < ALL {
                let read = near.read(&mut buffer).await.expect("open");
                received.extend_from_slice(&buffer[..read]);
            }
            let after = runtime.metrics();
            assert_eq!(received, sent);
            let (turns, polls) = (after.turns - before.turns, after.task_polls - before.task_polls);
            let counts = format!("{} reads: {polls} polls of the task, {turns} turns", ALL / 64);
            assert!(turns >= (ALL / 64 / 16) as u64 - 1, "sixteen reads a turn: {counts}");
            assert!(polls <= 2 * turns + 2, "over its budget it is not polled again: {counts}");
        });
    });
}

#[test]
fn a_thousand_ready_tasks_do_not_hold_up_a_timer_for_their_whole_round() {
    let _watchdog = support::watchdog("a thousand tasks", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        let polls = Rc::new(Cell::new(0u64));
        let crowd = (0..1_000).map(|_| {
            let polls = polls.clone();
            runtime.spawn(async move {
                loop {
                    polls.set(polls.get() + 1);
                    yield_now().await;
                }
            })
        });
        let crowd: Vec<_> = crowd.collect();
        runtime.block_on(async { sleep(20 * MS).await });
        let (turns, polls) = (runtime.metrics().turns, polls.get());
        assert!(polls <= turns * 64, "at most the budget in a turn: {polls} polls in {turns} turns");
        crowd.iter().for_each(|task| task.abort());
        runtime.block_on(async {
            for task in crowd {
                assert!(task.await.expect_err("it never ends").is_aborted());
            }
        });
        assert_eq!(runtime.metrics().live_tasks, 0);
    });
}
