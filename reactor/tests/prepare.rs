//! A loop inside somebody else's: what it says before each of that one's sleeps.

use std::time::Duration;

use punctual_reactor::{AlarmKind, Instant, Leeway, Reactor, Runtime, VirtualClock, sleep};

const ALARMS: [AlarmKind; 2] = [AlarmKind::Auto, AlarmKind::PollTimeout];

fn turn(runtime: &Runtime) {
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
}

#[test]
fn prepared_again_without_a_turn_a_runtime_says_the_same() {
    for alarm in ALARMS {
        let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
        turn(&runtime);
        for _ in 0..3 {
            assert_eq!(runtime.prepare().expect("prepared"), None, "nothing is to come");
        }
        runtime.handle().call(|| {}).expect("room");
        assert_eq!(runtime.prepare().expect("prepared"), Some(Duration::ZERO), "now there is work");
        turn(&runtime);
        assert_eq!(runtime.prepare().expect("prepared"), None);
        let task = runtime.spawn(async {});
        assert_eq!(runtime.prepare().expect("prepared"), Some(Duration::ZERO), "here as well");
        turn(&runtime);
        assert!(task.is_finished());
        assert_eq!(runtime.prepare().expect("prepared"), None);
    }
}

#[test]
fn prepared_again_without_a_turn_a_reactor_says_the_same() {
    for alarm in ALARMS {
        let mut reactor = Reactor::builder().alarm(alarm).build_reactor().expect("a reactor");
        for _ in 0..3 {
            assert_eq!(reactor.prepare().expect("prepared"), None, "nothing is to come");
        }
        // A timer set since is in the next.
        reactor.insert_timer(reactor.now(), Leeway::NONE);
        assert_eq!(reactor.prepare().expect("prepared"), Some(Duration::ZERO));
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(std::iter::from_fn(|| reactor.next_event()).count(), 1);
        assert_eq!(reactor.prepare().expect("prepared"), None);
    }
}

#[test]
fn virtual_time_jumps_for_an_outer_loop() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let (began, hour) = (clock.now(), Duration::from_secs(3_600));
    let sleeper = runtime.spawn(async move {
        for n in 1..=3 {
            sleep(hour).await;
            assert_eq!(Instant::now(), began + n * hour);
        }
    });
    let mut rounds = 0;
    while !sleeper.is_finished() {
        runtime.prepare().expect("prepared");
        turn(&runtime);
        rounds += 1;
        assert!(rounds <= 10, "time stands still at {:?}", clock.now());
    }
    runtime.block_on(sleeper).expect("no panic");
    assert_eq!(clock.now(), began + 3 * hour);
}

#[test]
fn virtual_time_does_not_jump_past_a_task_that_can_run() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let sleeper = runtime.spawn(async { sleep(Duration::from_secs(3_600)).await });
    turn(&runtime);
    let here = clock.now();
    let soon = runtime.spawn(async { Instant::now() });
    for _ in 0..2 {
        assert_eq!(runtime.prepare().expect("prepared"), Some(Duration::ZERO));
    }
    turn(&runtime);
    assert!(soon.is_finished() && !sleeper.is_finished(), "time went on before it had run");
    assert_eq!(runtime.block_on(soon).expect("no panic"), here);
}
