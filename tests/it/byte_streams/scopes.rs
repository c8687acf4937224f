//! Scopes end what waits on streams that know nothing of them.

use super::*;

/// The error of what `body` awaits in a scope that ends meanwhile.
async fn in_ended_scope<T>(
    cancelled: bool,
    body: impl AsyncFnOnce() -> Result<T, Error>,
) -> (Duration, Error) {
    let start = Instant::now();
    let error = Rc::new(RefCell::new(None));
    let keep = error.clone();
    let limit = if cancelled { Duration::MAX } else { 50 * MS };
    let ended = scope("request", limit, async move |scope| {
        if cancelled {
            let canceller = scope.canceller();
            drop(spawn(async move {
                sleep(50 * MS).await;
                canceller.cancel("drained").expect("room");
            }));
        }
        *keep.borrow_mut() = body().await.err();
    });
    drop(ended.await);
    (start.elapsed(), error.take().expect("it ended with the scope"))
}

#[test]
fn k01_what_waits_on_any_stream_ends_with_its_scope() {
    on_virtual("scopes", async |_| {
        for cancelled in [false, true] {
            let expected = if cancelled { Kind::Cancelled } else { Kind::Timeout };
            let says = if cancelled { "drained" } else { "request" };
            let check = |(passed, error): (Duration, Error), phase| {
                assert_eq!((error.kind(), error.phase()), (expected, phase), "{error}");
                assert!((50 * MS..=52 * MS).contains(&passed), "{passed:?}");
                assert!(error.to_string().contains(says), "{error}");
            };
            let (near, far) = duplex(1);
            let mut near = Bounded::new(near);
            check(in_ended_scope(cancelled, async || near.read(&mut [0; 8]).await).await, Phase::Read);
            near.write(b"f").await.expect("room for one, and the scope is left");
            check(in_ended_scope(cancelled, async || near.write(b"g").await).await, Phase::Write);

            let (client, proxy_client) = duplex(64);
            let options = CopyOptions::new().names("client", "server");
            let copying = copy_bidirectional(proxy_client, far, options);
            let (passed, error) = in_ended_scope(cancelled, async || copying.await).await;
            assert_eq!(error.copied().map(|copied| copied.bytes()), Some(1), "what moved is said");
            check((passed, error), Phase::Copy);
            assert!(client.is_alone());
        }
    });
}

#[test]
fn k03_nothing_begins_on_any_stream_in_a_scope_that_has_ended() {
    on_virtual("ended scopes", async |clock| {
        let (near, mut far) = duplex(64);
        far.send_all(b"here").await.expect("room");
        let mut near = Bounded::new(near);
        let read = &mut near;
        let (_, error) = in_ended_scope(false, async || {
            clock.advance(S);
            read.read(&mut [0; 8]).await
        })
        .await;
        assert!(error.is_timeout(), "{error}");
        assert_eq!(near.read(&mut [0; 8]).await.expect("untouched"), 4);
    });
}

/// A read that was given up belongs to the scope it began in, and the next one does not.
#[test]
fn k04_a_read_that_was_dropped_in_one_scope_is_forgotten_in_the_next() {
    on_virtual("left scopes", async |_| {
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(S);
        let done = scope("first", Duration::MAX, async |_| give_up_read(&mut near).await);
        done.await.expect("it has not waited");
        sleep(900 * MS).await;
        far.send_all(b"a").await.expect("room");
        let outside = read(&mut near, &mut [0; 8]).await;
        assert_eq!(outside.expect("no scope has ended it"), 1);
        give_up_read(&mut near).await;
        sleep(900 * MS).await;
        let start = Instant::now();
        let second = scope("second", Duration::MAX, async |_| {
            read(&mut near, &mut [0; 8]).await.expect_err("nothing comes")
        });
        let error = second.await.expect("a read may fail");
        assert!(Error::take_from_io(error).expect("one of ours").is_timeout());
        on_time(start, S);
    });
}

/// A copy goes on in whichever scope it is polled, and ends with that.
#[test]
fn k04_a_copy_that_is_polled_in_another_scope_ends_with_that() {
    on_virtual("moved copies", async |_| {
        let ((client, a), (b, mut server)) = (duplex(64), duplex(64));
        let mut copying = copy_bidirectional(a, b, CopyOptions::new());
        let first = scope("first", Duration::MAX, async |_| {
            assert!(poll_once(Pin::new(&mut copying)).is_pending());
        });
        first.await.expect("it has not waited");
        server.send_all(b"x").await.expect("room");
        let start = Instant::now();
        let second = scope("second", 50 * MS, async |_| copying.await);
        let error = second.await.expect("a copy may fail").expect_err("it was ended");
        on_time(start, 50 * MS);
        assert_eq!(error.deadline().and_then(|info| info.scope()), Some("second"), "{error}");
        drop(client);
    });
}

/// What closes in order after a failure is no reason to outlive the scope.
#[test]
fn k01_closing_in_order_ends_with_the_scope() {
    on_virtual("closing", async |_| {
        for cancelled in [false, true] {
            let ((_client, a), (b, _server)) = (duplex(64), duplex(64));
            let options = CopyOptions::new().idle_timeout(20 * MS).close_in_order(10 * S);
            let copying = copy_bidirectional(a, b, options);
            let (passed, error) = in_ended_scope(cancelled, async || copying.await).await;
            assert!((50 * MS..=52 * MS).contains(&passed), "{passed:?}");
            assert_eq!(error.deadline().and_then(|info| info.description()), Some("idle timeout"));
        }
    });
}

#[test]
fn k01_a_copy_one_way_and_a_read_to_the_end_end_with_their_scope() {
    on_virtual("one way", async |_| {
        for cancelled in [false, true] {
            let expected = if cancelled { Kind::Cancelled } else { Kind::Timeout };
            let (from, mut feed) = duplex(64);
            let (into, _sink) = duplex(64);
            feed.send_all(b"abc").await.expect("room");
            let (passed, error) = in_ended_scope(cancelled, async || copy(from, into).await).await;
            assert!((50 * MS..=52 * MS).contains(&passed), "{passed:?}");
            assert_eq!((error.kind(), error.phase(), error.transferred()), (expected, Phase::Copy, 3));
            let (from, mut feed) = duplex(64);
            feed.send_all(b"abcd").await.expect("room");
            let reading = async || read_to_end(from, 100).await;
            let (passed, error) = in_ended_scope(cancelled, reading).await;
            assert!((50 * MS..=52 * MS).contains(&passed), "{passed:?}");
            assert_eq!((error.kind(), error.phase(), error.transferred()), (expected, Phase::Read, 4));
        }
    });
}
