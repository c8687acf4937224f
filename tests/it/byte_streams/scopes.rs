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
