use super::*;
use std::future::poll_fn;

use crate::readiness::Readiness;
use crate::{Runtime, Unbounded, scope};

#[test]
fn what_waited_on_a_source_that_was_dropped_is_not_kept_by_the_scope() {
    let runtime = Runtime::new().expect("a runtime");
    let members = runtime.block_on(async {
        let ended = scope("long", Unbounded, async |scope| {
            for _ in 0..10 {
                let (near, _far) = mio::net::UnixStream::pair().expect("a pair");
                let near = Registration::new(near, mio::Interest::READABLE, Readiness::NONE);
                let near = near.expect("registered");
                poll_fn(|cx| {
                    let blocks = |_: &_| Err::<Done<()>, _>(io::Error::from(io::ErrorKind::WouldBlock));
                    assert!(near.poll_operate(cx, Direction::Read, blocks).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            let mut reactor = scope.driver().reactor.borrow_mut();
            reactor.scopes.nodes.get_mut(scope.node()).map(|node| node.members.len())
        });
        ended.await.expect("nothing ended it")
    });
    assert_eq!(members, Some(0));
}

#[test]
fn what_waits_on_a_source_that_has_left_scopes_is_none_of_their_members_and_ends_with_its_task() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let ended = scope("short", Unbounded, async |scope| {
            let (near, _far) = mio::net::UnixStream::pair().expect("a pair");
            let near = Registration::new(near, mio::Interest::READABLE, Readiness::NONE);
            let near = near.expect("registered");
            near.leave_scopes();
            let task = scope.spawn(async move {
                let blocks = |_: &_| Err::<Done<()>, _>(io::Error::from(io::ErrorKind::WouldBlock));
                let polled = poll_fn(|cx| {
                    let poll = near.poll_operate(cx, Direction::Read, blocks);
                    assert!(poll.is_pending());
                    let driver = &near.of.driver;
                    let own = driver.scope().expect("a task of a scope has one");
                    let mut reactor = driver.reactor.borrow_mut();
                    let members = reactor.scopes.nodes.get_mut(own).map(|node| node.members.len());
                    assert_eq!(members, Some(0));
                    poll
                });
                let _ = polled.await;
            });
            crate::yield_now().await;
            let waits = crate::waits();
            let wait = waits.iter().find(|wait| wait.what() == "read").expect("it is known to wait");
            assert!(wait.scope().is_some_and(|scope| scope.contains("short")), "{wait:?}");
            scope.cancel("enough");
            drop(task);
        });
        let error = ended.await.expect_err("it was cancelled");
        assert!(error.to_string().contains("enough"), "{error}");
    });
    assert_eq!(runtime.metrics().live_sources, 0);
}
