//! Reads and writes that wait.

use super::*;

const OWN: PhaseEnding = PhaseEnding::Timeout(TimeoutBy::Own);
const IDLE: PhaseEnding = PhaseEnding::Timeout(TimeoutBy::Idle);
const OF_SCOPE: PhaseEnding = PhaseEnding::Timeout(TimeoutBy::Scope);

#[test]
fn o8_a_read_that_waits_is_recorded_once_to_the_nanosecond() {
    on_virtual_clock("reads that wait", async |_| {
        let (near, far) = memory_pair();
        near.set_read_timeout(Some(20 * MS)).expect("open");
        for wait in 1..=5 {
            let writing = async {
                sleep(wait * MS).await;
                far.write_all(b"..").await.expect("room");
            };
            let mut two = [0; 2];
            let (read, ()) = zip(near.read_exact(&mut two), writing).await;
            read.expect("two bytes");
        }
        let record = record_of("read").expect("it has waited");
        assert_eq!(endings_of("read"), [(PhaseEnding::Done, 5)]);
        assert_eq!((record.done.max(), record.done.mean(), record.done.count()), (5 * MS, 3 * MS, 5));
        assert_eq!((record.cut_off.count(), record.unbounded.count), (0, 0));
        let [budget] = &record.budgets[..] else { panic!("{:?}", record.budgets) };
        assert_eq!((budget.shortest, budget.longest), (20 * MS, 20 * MS));
        assert_eq!((budget.counts.count, budget.counts.done, budget.counts.timed_out), (5, 5, 0));
        assert_eq!(endings_of("write"), [], "there was room");
    });
}

#[test]
fn o8_what_does_not_wait_is_not_recorded() {
    on_alarms("reads that find something", async |_| {
        let (near, far) = tcp_pair().await;
        near.set_read_timeout(Some(PATIENCE)).expect("open");
        far.write_all(&[0; 64]).await.expect("room");
        near.read_exact(&mut [0; 1]).await.expect("the first may have waited");
        let before = endings_of("read");
        for _ in 0..63 {
            near.read_exact(&mut [0; 1]).await.expect("there");
        }
        assert_eq!(endings_of("read"), before);
        assert_eq!(endings_of("write"), []);
    });
}

#[test]
fn o8_waiting_for_one_s_turn_is_no_wait_for_the_peer() {
    on_alarms("a reader that is ahead of its budget", async |_| {
        let (near, far) = unix_pair();
        far.write_all(&[0; 200]).await.expect("room");
        let mut two = [0; 2];
        // One read takes them two by two: more operations than a turn allows, and always something there.
        for _ in 0..100 {
            near.read_exact(&mut two).await.expect("there");
        }
        assert_eq!(endings_of("read"), []);
    });
}

#[test]
fn o8_several_waits_of_one_operation_are_one() {
    on_virtual_clock("a drip", async |_| {
        let (near, far) = memory_pair();
        let writing = async {
            for _ in 0..4 {
                sleep(3 * MS).await;
                far.write_all(b".").await.expect("room");
            }
        };
        let (read, ()) = zip(near.read_exact(&mut [0; 4]), writing).await;
        read.expect("four bytes");
        let record = record_of("read").expect("it has waited");
        assert_eq!((record.done.count(), record.done.max(), record.unbounded.done), (1, 12 * MS, 1));
    });
}

#[test]
fn o8_every_end_of_a_wait_has_its_cause() {
    async fn body<T: Pair>(runtime: &punctual::Runtime) {
        let ends = || endings_of("read");
        let (near, far) = T::pair().await;
        let near = Rc::new(near);
        let mut known = std::collections::BTreeMap::new();
        let mut expect = |ending: PhaseEnding| {
            *known.entry(ending).or_insert(0) += 1;
            assert_eq!(ends(), known.clone().into_iter().collect::<Vec<_>>(), "after {ending}");
        };
        let armed = clock_ns();
        near.set_read_timeout(Some(3 * MS)).expect("open");
        times_out(armed, 3 * MS, near.recv(&mut [0])).await;
        expect(IDLE);
        near.set_read_timeout(None).expect("open");

        let armed = clock_ns();
        near.set_read_deadline(Some(Instant::now() + 3 * MS)).expect("open");
        times_out(armed, 3 * MS, near.recv(&mut [0])).await;
        expect(OWN);
        assert_eq!(near.recv(&mut [0]).await, Err(Class::Timeout), "too late before it began");
        expect(OWN);
        near.set_read_deadline(None).expect("open");

        let ended = scope("bounded", 3 * MS, async |_| near.recv(&mut [0]).await);
        drop(ended.await);
        expect(OF_SCOPE);
        let ended = scope("bounded", 3 * MS, async |scope| {
            let near = near.clone();
            scope.spawn(async move { near.recv(&mut [0]).await }).await
        });
        drop(ended.await);
        expect(OF_SCOPE);
        let ended = scope("bounded", 3 * MS, async |_| {
            let mut byte = [0];
            let mut never_polled_again = pin!(near.recv(&mut byte));
            assert!(poll_once(never_polled_again.as_mut()).is_pending());
            pending::<()>().await
        });
        ended.await.expect_err("it waits for ever");
        expect(OF_SCOPE);

        timeout(3 * MS, near.recv(&mut [0])).await.expect_err("silent");
        expect(PhaseEnding::Timeout(TimeoutBy::Guard));
        assert!(poll_once(near.recv(&mut [0])).is_pending());
        expect(PhaseEnding::Dropped);
        let reading = spawn({
            let near = near.clone();
            async move { near.recv(&mut [0]).await }
        });
        yield_now().await;
        far.write_all(b".").await.expect("room");
        assert_eq!(reading.await.expect("no panic"), Ok(1));
        expect(PhaseEnding::Done);
        let reading = spawn({
            let near = near.clone();
            async move { near.recv(&mut [0]).await }
        });
        yield_now().await;
        near.close();
        assert_eq!(reading.await.expect("no panic"), Err(Class::Closed));
        expect(PhaseEnding::Closed);

        let (near, far) = T::pair().await;
        let short =
            spawn(async move { near.read_exact(&mut [0; 2]).await.map_err(|error| error.kind()) });
        yield_now().await;
        drop(far);
        assert_eq!(short.await.expect("no panic"), Err(Kind::UnexpectedEof));
        expect(PhaseEnding::Failed);

        let (near, far) = T::pair().await;
        let token = near.token();
        let reading = spawn(async move { near.recv(&mut [0]).await });
        yield_now().await;
        runtime_handle().cancel(token, "enough").expect("sent");
        assert_eq!(reading.await.expect("no panic"), Err(Class::Cancelled));
        expect(PhaseEnding::Cancelled);
        drop(far);

        let (near, _far) = T::pair().await;
        let reading = spawn(async move { near.recv(&mut [0]).await });
        yield_now().await;
        runtime.handle().shutdown().expect("sent");
        assert_eq!(reading.await.expect("no panic"), Err(Class::Shutdown));
        expect(PhaseEnding::Shutdown);
    }
    on_streams!(body);
}

#[test]
fn o8_the_budget_is_what_the_earliest_bound_leaves() {
    on_virtual_clock("bounds", async |_| {
        let (near, far) = memory_pair();
        near.set_read_timeout(Some(50 * MS)).expect("open");
        let read_after = async |wait: u32| {
            let writing = async {
                sleep(wait * MS).await;
                far.write_all(b".").await.expect("room");
            };
            zip(near.read_exact(&mut [0]), writing).await.0.expect("one byte");
        };
        scope("the scope", 20 * MS, async |_| read_after(1).await).await.expect("in time");
        near.set_read_deadline(Some(Instant::now() + 10 * MS)).expect("open");
        scope("the deadline", 20 * MS, async |_| read_after(1).await).await.expect("in time");
        near.set_read_deadline(None).expect("open");
        scope("the timeout", 90 * MS, async |_| read_after(1).await).await.expect("in time");
        let ended = scope("over", 5 * MS, async |_| near.recv(&mut [0]).await);
        drop(ended.await);
        timeout(30 * MS, timeout(2_000 * MS, read_after(1))).await.expect("in time").expect("in time");
        let record = record_of("read").expect("it has waited");
        let budgets: Vec<_> =
            record.budgets.iter().map(|budget| (budget.longest, budget.counts.done)).collect();
        assert_eq!(budgets, [(5 * MS, 0), (10 * MS, 1), (20 * MS, 1), (30 * MS, 1), (50 * MS, 1)]);
        assert_eq!(record.budgets[0].counts.timed_out, 1);
        assert_eq!(record.unbounded.count, 0);
        assert_eq!(record.cut_off.max(), 5 * MS);
    });
}

#[test]
fn o8_through_the_io_traits_too() {
    use futures_io::AsyncRead;

    on_virtual_clock("io traits", async |_| {
        let (mut near, far) = memory_pair();
        let mut byte = [0];
        let writing = async {
            sleep(3 * MS).await;
            far.write_all(b".").await.expect("room");
        };
        let reading = poll_fn(|cx| pin!(&mut near).poll_read(cx, &mut byte));
        assert_eq!(zip(reading, writing).await.0.expect("one byte"), 1);
        assert_eq!(endings_of("read"), [(PhaseEnding::Done, 1)]);
        // Nobody says that it is given up, until the stream goes.
        poll_fn(|cx| {
            assert!(pin!(&mut near).poll_read(cx, &mut byte).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(endings_of("read"), [(PhaseEnding::Done, 1)]);
        drop(near);
        assert_eq!(endings_of("read"), [(PhaseEnding::Done, 1), (PhaseEnding::Dropped, 1)]);
    });
}

#[test]
fn o8_closing_in_order_is_a_phase_of_its_own() {
    on_virtual_clock("close in order", async |_| {
        let (near, far) = memory_pair();
        let peer = async {
            sleep(4 * MS).await;
            drop(far);
        };
        zip(near.close_in_order(30 * MS), peer).await.0.expect("the peer has ended");
        assert_eq!(endings_of("read"), []);
        let record = record_of("shutdown").expect("it has waited");
        assert_eq!((record.done.count(), record.done.max()), (1, 4 * MS));
        assert_eq!(record.budgets[0].longest, 30 * MS);
    });
}
