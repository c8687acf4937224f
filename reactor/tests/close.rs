//! What ended an operation first stays its end, also when its source is closed in the same turn.

use std::rc::Rc;
use std::time::Duration;

use mio::net::UnixStream;
use punctual_reactor::{
    Direction, Done, Failure, Instant, Interest, Readiness, Registration, Runtime, VirtualClock,
    WaitElsewhere, sleep_until, spawn, timeout, yield_now,
};

type Wire = Rc<Registration<UnixStream>>;

fn wire() -> (Wire, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    let near = Registration::new(near, Interest::READABLE, Readiness::NONE).expect("registered");
    (Rc::new(near), far)
}

async fn never_read(wire: Wire) -> Failure {
    let nothing = |_: &UnixStream| Err::<Done<()>, _>(std::io::ErrorKind::WouldBlock.into());
    wire.operate(Direction::Read, nothing).await.expect_err("nothing is ever sent")
}

/// Runs `end` while a read waits; returns how that read, and one begun after it, ended.
fn ended_by(end: impl AsyncFnOnce(&Wire, &VirtualClock)) -> (Failure, Failure) {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    runtime.block_on(async {
        let (near, _far) = wire();
        let waiting = spawn(never_read(near.clone()));
        yield_now().await;
        end(&near, &clock).await;
        let first = waiting.await.expect("no panic");
        (first, never_read(near).await)
    })
}

#[test]
fn a_close_ends_what_waits_as_closed() {
    let ended = ended_by(async |near, _| near.close());
    assert!(matches!(ended, (Failure::Closed, Failure::Closed)), "{ended:?}");
}

#[test]
fn a_cancel_before_the_close_stays_the_cause() {
    let ended = ended_by(async |near, _| {
        near.cancel("draining");
        near.close();
    });
    let (Failure::Cancelled(first), Failure::Cancelled(later)) = ended else { panic!("{ended:?}") };
    assert_eq!((first.to_string(), later), ("draining".to_owned(), first));
}

#[test]
fn a_deadline_that_fired_before_the_close_stays_the_cause() {
    let ended = ended_by(async |near, clock| {
        let deadline = Instant::now() + Duration::from_secs(1);
        near.set_deadline(Direction::Read, Some(deadline)).expect("open");
        let clock = clock.clone();
        drop(spawn(async move { clock.advance(Duration::from_secs(1)) }));
        // Both fire in one turn; this task runs first, and closes before the reader has looked.
        sleep_until(deadline).await;
        near.close();
    });
    assert!(matches!(ended, (Failure::Elapsed(_), Failure::Closed)), "{ended:?}");
}

#[test]
fn an_operation_begun_after_its_deadline_makes_nobody_late() {
    let ended = ended_by(async |near, clock| {
        near.set_deadline(Direction::Read, Some(Instant::now())).expect("open");
        clock.advance(Duration::from_secs(5));
    });
    let (Failure::Elapsed(_), Failure::Elapsed(begun_late)) = ended else { panic!("{ended:?}") };
    assert!(begun_late.before_it_began);
    assert_eq!(begun_late.lateness(), Duration::ZERO);
    assert_eq!(begun_late.fired - begun_late.deadline, Duration::from_secs(5));
}

#[test]
fn virtual_time_stands_still_while_another_thread_is_awaited() {
    let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
    runtime.block_on(async {
        let (answer, question) = std::sync::mpsc::channel();
        let handle = runtime.handle();
        let elsewhere = WaitElsewhere::begin();
        let thread = std::thread::spawn(move || {
            question.recv().expect("asked");
            handle.spawn(async || ()).expect("room").join().expect("it ran");
        });
        let began = Instant::now();
        let guard = spawn(timeout(Duration::from_millis(1), std::future::pending::<()>()));
        answer.send(()).expect("heard");
        while !thread.is_finished() {
            yield_now().await;
        }
        assert!(
            !guard.is_finished() && Instant::now() == began,
            "time has jumped past what was awaited"
        );
        drop(elsewhere);
        assert!(guard.await.expect("no panic").is_err(), "and goes on");
        thread.join().expect("no panic");
    });
}
