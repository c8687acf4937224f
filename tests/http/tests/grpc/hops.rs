//! A deadline that travels: a client, a server that calls another, and that one stalls.

use std::future::pending;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use punctual::grpc::{Channel, DeadlineLayer, error_of};
use punctual::reactor::Failure;
use punctual::{Instant, current_scope, in_scope, scope, send_future, sleep};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};
use tonic::{Code, Request, Status};

use crate::bytes_service::{BytesClient, BytesService};
use crate::server::{returned, serving, url};

fn left() -> Duration {
    current_scope().expect("a scope").deadline().expect("a deadline") - Instant::now()
}

#[test]
fn p20_three_hops_see_one_deadline_with_less_and_less_of_it_left_and_one_cancel() {
    on_runtime("three hops", async |_| {
        let (b_says, b_told) = channel::<(Duration, String)>();
        let b = BytesService::unary(move |_| {
            let says = b_says.clone();
            async move {
                let left = send_future(async { left() }).await;
                let seen = match send_future(in_scope(pending::<()>())).await {
                    Err(Failure::Elapsed(_)) => "elapsed".to_owned(),
                    Err(Failure::Cancelled(cause)) => format!("cancelled: {cause}"),
                    other => format!("{other:?}"),
                };
                says.send((left, seen)).expect("the test waits");
                Err(Status::internal("of the handler"))
            }
        });
        serving(b, DeadlineLayer::new(), async |b_address| {
            let (a_says, a_told) = channel::<(Duration, Code)>();
            let to_b = BytesClient::new(Channel::lazy(url(b_address)).expect("a channel"));
            let a = BytesService::unary(move |request| {
                let (mut to_b, says) = (to_b.clone(), a_says.clone());
                async move {
                    let left = send_future(async { left() }).await;
                    sleep_a_little().await;
                    // Of what came nothing goes on but the message: the scope has the deadline.
                    let status =
                        to_b.unary(Request::new(request.into_inner())).await.expect_err("it stalls");
                    says.send((left, status.code())).expect("the test waits");
                    Err(status)
                }
            });
            serving(a, DeadlineLayer::new(), async |a_address| {
                let mut client =
                    BytesClient::new(Channel::connect(url(a_address)).await.expect("a connection"));
                let armed = now_ns();
                let mut calling = client.clone();
                let ended =
                    scope("client", 200 * MS, async |_| calling.unary(Request::new(Bytes::new())).await);
                let status = returned(ended.await).expect_err("it stalls");
                assert_passed(armed, 200 * MS);
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
                sleep(30 * MS).await;
                let (a_left, a_saw) = a_told.try_recv().expect("A has seen it");
                let (b_left, b_saw) = b_told.try_recv().expect("B has seen it");
                println!("200 ms at the client, {a_left:?} at A, {b_left:?} at B");
                assert!(a_left < 200 * MS && b_left + 5 * MS <= a_left, "{a_left:?}, {b_left:?}");
                assert!(b_left > 50 * MS, "the deadline has shrunk, and not gone: {b_left:?}");
                // A server's own deadline comes later than its client's by what the call took to arrive; by then the
                // client may have reset it.
                let gone = "cancelled: the client has reset the call, or its connection has ended";
                assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&a_saw), "{a_saw:?}");
                assert!(["elapsed", gone].contains(&b_saw.as_str()), "{b_saw}");

                // A cancel goes the same way.
                let ended = scope("page", Duration::from_secs(30), async |scope| {
                    let canceller = scope.clone();
                    scope.spawn(async move {
                        sleep(50 * MS).await;
                        canceller.cancel("the user has left");
                    });
                    client.unary(Request::new(Bytes::new())).await
                });
                let status = returned(ended.await).expect_err("it stalls");
                assert_eq!(status.code(), Code::Cancelled);
                assert_eq!(
                    error_of(&status).expect("ours").cause().expect("why").as_str(),
                    "the user has left"
                );
                let seen = loop {
                    match b_told.try_recv() {
                        Ok((_, seen)) => break seen,
                        Err(_) => sleep(MS).await,
                    }
                };
                assert_eq!(seen, gone);
                let (_, a_saw) = a_told.try_recv().expect("A has seen it before B");
                assert_eq!(a_saw, Code::Cancelled);
            })
            .await;
        })
        .await;
    });
}

/// Time that A takes itself.
async fn sleep_a_little() {
    send_future(sleep(10 * MS)).await;
}
