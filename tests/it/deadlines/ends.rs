//! What ends an operation, which bound it was, and what its error says.

use super::*;

#[test]
fn k02_cancel_from_another_thread() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        // In virtual time a deadline does not wait for what other threads do.
        let deadline = (!in_virtual_time()).then(|| Instant::now() + PATIENCE);
        left.both_by(deadline).expect("open");
        let blocked = block_both(&left).await;
        let (handle, token) = (runtime_handle(), left.name());
        let thread = std::thread::spawn(move || handle.cancel(token, "the user has left"));
        for waiting in blocked {
            assert_eq!(waiting.await.expect("no panic").0, Err(Class::Cancelled));
        }
        assert_eq!(left.recv(&mut [0; 1]).await, Err(Class::Cancelled), "those to come as well");
        thread.join().expect("no panic").expect("sent");
        drop(right);
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn errors_travel_through_the_io_traits_whole() {
    use futures_io::{AsyncRead, AsyncWrite};
    use std::io::ErrorKind;
    use std::pin::Pin;

    on_alarms("io traits", async |_| {
        let (mut left, mut right) = tcp_pair().await;
        let sent = poll_fn(|cx| Pin::new(&mut right).poll_write(cx, b"hi")).await.expect("sent");
        let mut buffer = [0; 8];
        let got = poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect("received");
        assert_eq!((sent, got, &buffer[..2]), (2, 2, &b"hi"[..]));

        let armed = clock_ns();
        left.set_read_timeout(Some(30 * MS)).expect("open");
        let error =
            poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect_err("silent");
        assert!(clock_ns() - armed >= 30_000_000);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let ours = punctual::net::Error::from_io(&error).expect("one of ours");
        assert_eq!(
            (ours.kind(), ours.phase(), ours.peer()),
            (Kind::Timeout, Phase::Read, Some(left.peer_addr()))
        );

        left.cancel("enough");
        let error =
            poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect_err("cancelled");
        assert_ne!(error.kind(), ErrorKind::Interrupted, "std would retry it");
        let ours = punctual::net::Error::from_io(&error).expect("one of ours");
        assert_eq!(ours.cause(), Some(&"enough".into()));

        poll_fn(|cx| Pin::new(&mut right).poll_close(cx)).await.expect("ended");
    });
}

#[test]
fn many_readers_of_one_side_each_get_their_turn() {
    on_alarms("many readers", async |_| {
        let (left, right) = tcp_pair().await;
        let (left, total) = (Rc::new(left), Rc::new(Cell::new(0)));
        let readers = (0..8).map(|_| {
            let (left, total) = (left.clone(), total.clone());
            spawn(async move {
                left.read_exact(&mut [0; 4]).await.expect("four bytes");
                total.set(total.get() + 4);
            })
        });
        let readers: Vec<_> = readers.collect();
        for _ in 0..32 {
            right.write_all(b".").await.expect("sent");
            yield_now().await;
        }
        for reader in readers {
            reader.await.expect("no reader is forgotten");
        }
        assert_eq!(total.get(), 32);
    });
}

/// Turns that do not wait, until a loop whose clock stands still has done all that it can.
fn run(runtime: &Runtime) {
    for _ in 0..10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
}

/// A runtime on a virtual clock with one end of a silent pair, and the other end.
fn silent_wire() -> (Runtime, VirtualClock, Rc<Wire>, Wire) {
    let (runtime, clock) = virtual_runtime();
    let (near, far) = runtime.block_on(async { wire::pair() });
    (runtime, clock, Rc::new(near), far)
}

/// A read by a task of its own, which waits when this returns.
fn waiting_read(runtime: &Runtime, near: &Rc<Wire>) -> JoinHandle<Result<u8, Failure>> {
    let reading = near.clone();
    let read = runtime.spawn(async move { reading.read_byte().await });
    run(runtime);
    assert!(!read.is_finished(), "nothing has come");
    read
}

/// What it ended with; it must have ended.
#[track_caller]
fn end_of<T>(runtime: &Runtime, task: JoinHandle<T>) -> T {
    assert!(task.is_finished(), "it still waits");
    runtime.block_on(task).expect("no panic")
}

#[test]
fn a_waiting_operation_keeps_the_timeout_it_began_with() {
    for (from_afar, later) in
        [(false, Some(2_000 * MS)), (false, None), (true, Some(2_000 * MS)), (true, None)]
    {
        let (runtime, clock, near, _far) = silent_wire();
        near.io.set_timeout(Direction::Read, Some(50 * MS)).expect("open");
        let began = clock.now();
        let read = waiting_read(&runtime, &near);
        clock.advance(10 * MS);
        near.io.set_timeout(Direction::Read, None).expect("open");
        let deadline = later.map(|later| clock.now() + later);
        if from_afar {
            let (handle, token) = (runtime.handle(), near.io.token());
            let set = move || handle.set_deadline(token, Direction::Read, deadline);
            std::thread::spawn(set).join().expect("no panic").expect("room");
        } else {
            near.io.set_deadline(Direction::Read, deadline).expect("open");
        }
        run(&runtime);
        clock.advance(40 * MS - NS);
        run(&runtime);
        assert!(!read.is_finished(), "early");
        clock.advance(NS);
        run(&runtime);
        let case = format!("from afar: {from_afar}, deadline {later:?}");
        match end_of(&runtime, read) {
            Err(Failure::Elapsed(elapsed)) => {
                assert_eq!(elapsed.deadline, began + 50 * MS, "{case}");
                assert!(
                    matches!(elapsed.bound, Bound::Timeout(given, Some(_)) if given == 50 * MS),
                    "{case}"
                );
            }
            other => panic!("{case}: {other:?}"),
        }
        // The next one has none.
        let read = waiting_read(&runtime, &near);
        clock.advance(60 * MS);
        run(&runtime);
        assert!(!read.is_finished(), "{case}");
    }
}

#[test]
fn pol8_what_came_first_within_a_turn_ends_the_operation() {
    for cancelled_first in [false, true] {
        let (runtime, clock, near, _far) = silent_wire();
        near.io.set_leeway(Leeway::NONE).expect("open");
        let deadline = clock.now() + 20 * MS;
        near.io.set_deadline(Direction::Read, Some(deadline)).expect("open");
        let read = waiting_read(&runtime, &near);
        let cancelling = near.clone();
        let canceller = runtime.spawn(async move {
            sleep_until(deadline - NS).await;
            cancelling.io.cancel("by a task, which runs after the deadline has fired");
        });
        run(&runtime);
        if cancelled_first {
            let cause = "by a message, which comes before the deadlines";
            runtime.handle().cancel(near.io.token(), cause).expect("room");
        }
        clock.advance(30 * MS);
        run(&runtime);
        end_of(&runtime, canceller);
        let because = match (cancelled_first, end_of(&runtime, read)) {
            (false, Err(Failure::Elapsed(elapsed))) => {
                assert_eq!(elapsed.deadline, deadline);
                assert!(elapsed.fired >= deadline, "never early");
                "by a task, which runs after the deadline has fired"
            }
            (true, Err(Failure::Cancelled(cause))) => {
                assert_eq!(cause, "by a message, which comes before the deadlines".into());
                "by a message, which comes before the deadlines"
            }
            (_, other) => panic!("cancelled first: {cancelled_first}, {other:?}"),
        };
        // All that come after meet the cancel.
        for _ in 0..3 {
            match poll_once(near.read_byte()) {
                Poll::Ready(Err(Failure::Cancelled(cause))) => assert_eq!(cause, because.into()),
                other => panic!("cancelled first: {cancelled_first}, {other:?}"),
            }
            run(&runtime);
        }
    }
}

#[test]
fn a_poll_based_operation_that_was_given_up_does_not_end_the_next() {
    let (runtime, clock, near, _far) = silent_wire();
    near.io.set_timeout(Direction::Read, Some(30 * MS)).expect("open");
    let poll_read = |near: &Wire, cx: &mut Context<'_>| {
        near.io.poll_operate(cx, Direction::Read, |mut io| {
            io.read(&mut [0; 8]).map(|bytes| Done::bytes(bytes, 8))
        })
    };
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(poll_read(&near, nobody).is_pending());
    clock.advance(200 * MS);
    run(&runtime);
    // Its time ran out, and nobody has asked for it.
    let began = clock.now();
    let again = poll_read(&near, nobody);
    assert!(again.is_pending(), "a new one ends at once: {again:?}");
    // It has its own 30 ms, and ends when they are over, for whoever polls it now.
    let reading = near.clone();
    let read = runtime.spawn(poll_fn(move |cx| poll_read(&reading, cx)));
    clock.advance(30 * MS - NS);
    run(&runtime);
    assert!(!read.is_finished(), "early");
    clock.advance(NS);
    run(&runtime);
    match end_of(&runtime, read) {
        Err(Failure::Elapsed(elapsed)) => {
            assert_eq!(elapsed.deadline, began + 30 * MS);
            assert!(matches!(elapsed.bound, Bound::Timeout(given, Some(_)) if given == 30 * MS));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_says_which_bound_it_was_and_where_it_was_set() {
    on_alarms("which", async |_| {
        let (stream, _silent) = tcp_pair().await;
        stream.set_timeout(Some(5 * MS)).expect("open");
        let one = stream.read(&mut [0; 8]).await.expect_err("nobody writes");
        let all = stream.read_exact(&mut [0; 8]).await.expect_err("nobody writes");
        for (error, what) in [(one, "(idle timeout set at "), (all, "(read timeout set at ")] {
            let info = error.deadline().expect("a deadline");
            assert!(info.location().is_some_and(|at| at.file().ends_with("ends.rs")), "{error}");
            assert!(!info.before_it_began() && error.to_string().contains(what), "{error}");
        }
        stream.set_read_deadline(Some(Instant::now() - 1_500 * MS)).expect("open");
        let past = stream.read(&mut [0; 8]).await.expect_err("its time was over");
        let info = past.deadline().expect("a deadline");
        assert!(info.before_it_began() && info.lateness().is_zero(), "{past}");
        assert!(past.to_string().contains("was not begun: its deadline had passed 1.5"), "{past}");

        let (listener, _) = listen();
        listener.set_timeout(Some(5 * MS)).expect("open");
        let error = listener.accept().await.expect_err("nobody comes");
        assert!(error.to_string().contains("timed out after 5 ms (accept timeout set at "), "{error}");
    });
}
