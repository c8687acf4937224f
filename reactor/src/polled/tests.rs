use super::*;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::Runtime;
use crate::readiness::Readiness;

/// How many operations wait to read.
fn waiting<S: MioSource>(near: &Registration<S>) -> u32 {
    near.of.source.side(Direction::Read).waiting.get()
}

fn poll_byte(
    near: &Registration<mio::net::UnixStream>,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, Failure>> {
    near.poll_operate(cx, Direction::Read, |mut io| Ok(Done::bytes(io.read(&mut [0])?, 1)))
}

#[test]
fn a_polled_operation_that_waits_leaves_nothing_however_it_ends() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let pair = || {
            let (near, far) = mio::net::UnixStream::pair().expect("a pair");
            let near = Registration::new(near, mio::Interest::READABLE, Readiness::NONE);
            (Rc::new(near.expect("registered")), far)
        };
        let (near, mut far) = pair();
        let polled = || {
            let near = near.clone();
            crate::spawn(poll_fn(move |cx| poll_byte(&near, cx)))
        };
        // Alone, and then with one beside that is awaited.
        for beside in [0, 1] {
            let reads = polled();
            let others: Vec<_> = (0..beside)
                .map(|_| {
                    let near = near.clone();
                    crate::spawn(async move {
                        let read =
                            |mut io: &mio::net::UnixStream| Ok(Done::bytes(io.read(&mut [0])?, 1));
                        near.operate(Direction::Read, read).await
                    })
                })
                .collect();
            crate::yield_now().await;
            assert_eq!(waiting(&near), 1 + beside);
            assert_eq!(far.write(&b"ab"[..1 + beside as usize]).expect("sent"), 1 + beside as usize);
            assert!(matches!(reads.await.expect("no panic"), Ok(1)));
            for other in others {
                assert!(matches!(other.await.expect("no panic"), Ok(1)));
            }
            assert_eq!(waiting(&near), 0);
        }
        // An attempt that panics leaves it waiting.
        let (near, mut far) = pair();
        let (mut first, reads) = (true, near.clone());
        let panics = poll_fn(move |cx| {
            let near = &*reads;
            if std::mem::take(&mut first) {
                assert!(poll_byte(near, cx).is_pending());
                assert_eq!(far.write(b"c").expect("sent"), 1);
                return Poll::Pending;
            }
            let fails = |_: &mio::net::UnixStream| -> io::Result<Done<usize>> { panic!("as told") };
            let poll = || near.poll_operate(cx, Direction::Read, fails).is_ready();
            assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
            assert_eq!(waiting(near), 1);
            poll_byte(near, cx)
        });
        assert!(matches!(crate::spawn(panics).await.expect("no panic"), Ok(1)));
        assert_eq!(waiting(&near), 0);
    });
    assert_eq!(runtime.metrics().live_sources, 0);
}
