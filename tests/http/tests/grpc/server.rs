//! Our server, against our client and tonic's own.

use std::cell::RefCell;
use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use punctual::grpc::{Channel, DeadlineLayer, Timeouts, error_of, serve_with};
use punctual::net::TcpListener;
use punctual::reactor::Failure;
use punctual::{ScopeError, current_scope, in_scope, scope, send_future, sleep, spawn};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::bytes_service::{BytesClient, BytesService, Messages};
use crate::tokio_side::on_tokio;

/// Serves `service` and health for as long as `body` takes.
pub(crate) async fn serving<T>(
    service: BytesService,
    layer: DeadlineLayer,
    body: impl AsyncFnOnce(SocketAddr) -> T,
) -> T {
    let (_, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(health).add_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let serve = serve_with(listener, routes, layer);
    let drainer = serve.drainer();
    let server = spawn(async move { serve.await });
    let value = body(address).await;
    drainer.drain(Duration::from_secs(1));
    server.await.expect("no panic").expect("it has served");
    value
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What the body of a scope has returned, though the scope may have ended.
pub(crate) fn returned<T>(ended: Result<T, ScopeError<T>>) -> T {
    ended.unwrap_or_else(|error| error.into_value().expect("it has seen the end"))
}

/// What a handler that waits for ever has seen of its end.
fn stalling() -> (BytesService, Receiver<String>) {
    let (seen, told) = channel();
    let service = BytesService::unary(move |_| stall(seen.clone()));
    (service, told)
}

async fn stall(seen: Sender<String>) -> Result<Response<Bytes>, Status> {
    let waited = send_future(in_scope(pending::<()>())).await;
    let word = match waited {
        Err(Failure::Elapsed(_)) => "elapsed".to_owned(),
        Err(Failure::Cancelled(cause)) => format!("cancelled: {cause}"),
        other => format!("{other:?}"),
    };
    seen.send(word).expect("the test waits");
    Err(Status::internal("the handler's own word"))
}

#[test]
fn p19_our_client_and_tonics_own_call_our_server_unary_and_streaming() {
    on_runtime("both clients", async |_| {
        serving(BytesService::echo(), DeadlineLayer::new(), async |address| {
            let channel = Channel::connect(url(address)).await.expect("a connection");
            let mut health = HealthClient::new(channel.clone());
            let status = health.check(HealthCheckRequest::default()).await.expect("an answer");
            assert_eq!(status.into_inner().status, 1);
            let mut watch = health.watch(HealthCheckRequest::default()).await.expect("a stream");
            assert_eq!(watch.get_mut().message().await.expect("one").expect("a message").status, 1);
            let request = HealthCheckRequest { service: "nobody".to_owned() };
            let refused = health.check(request).await.expect_err("no such service");
            assert_eq!(refused.code(), Code::NotFound);

            let mut client = BytesClient::new(channel);
            let large = Bytes::from(vec![3; 3 << 20]);
            let answer = client.unary(Request::new(large.clone())).await.expect("an answer");
            assert_eq!(answer.into_inner(), large);
            let messages: Vec<Bytes> = (0..50).map(|n| Bytes::from(vec![n; 1000])).collect();
            let requests = tokio_stream::iter(messages.clone());
            let mut stream = client.stream(Request::new(requests)).await.expect("a stream").into_inner();
            for message in messages {
                assert_eq!(stream.message().await.expect("an answer"), Some(message));
            }
            assert_eq!(stream.message().await.expect("the end"), None);

            let theirs = elsewhere(move || {
                on_tokio(async move {
                    let endpoint = tonic::transport::Endpoint::from_shared(url(address)).expect("a URL");
                    let channel = endpoint.connect().await.expect("a connection");
                    let mut client = BytesClient::new(channel.clone());
                    let answer = client.unary(Request::new(large.clone())).await.expect("an answer");
                    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
                    (answer.into_inner() == large, status.expect("an answer").into_inner().status)
                })
            });
            assert_eq!(theirs.await, (true, 1));
        })
        .await;
    });
}

/// Runs `code` on another thread, while this loop goes on.
pub(crate) async fn elsewhere<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> T {
    punctual::blocking(code).await.expect("no panic")
}

#[test]
fn p19_the_clients_deadline_ends_what_the_handler_waits_for_and_is_answered() {
    on_runtime("a deadline", async |_| {
        let (service, told) = stalling();
        serving(service, DeadlineLayer::new(), async |address| {
            // tonic's own client: its local timer is off where the header is set by hand.
            let armed = now_ns();
            let status = elsewhere(move || {
                on_tokio(async move {
                    let endpoint = tonic::transport::Endpoint::from_shared(url(address)).expect("a URL");
                    let mut client = BytesClient::new(endpoint.connect().await.expect("a connection"));
                    let mut request = Request::new(Bytes::new());
                    request.set_timeout(50 * MS);
                    client.unary(request).await.expect_err("nobody answers")
                })
            })
            .await;
            assert_passed(armed, 50 * MS);
            assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status}");
            sleep(20 * MS).await;
            let seen = told.try_recv().expect("the handler has seen it");
            assert!(["elapsed"].contains(&&*seen) || seen.starts_with("cancelled: "), "{seen}");

            // Ours, that does not enforce it by itself, sees the server's word.
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let armed = now_ns();
            let mut request = Request::new(Bytes::new());
            request.set_timeout(50 * MS);
            let status = client.unary(request).await.expect_err("nobody answers");
            assert_passed(armed, 50 * MS);
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        })
        .await;
    });
}

#[test]
fn p19_calls_that_send_no_deadline_have_a_default_and_none_has_more_than_the_longest() {
    on_runtime("default", async |_| {
        let (service, told) = stalling();
        let layer = DeadlineLayer::new().default_timeout(30 * MS).longest(60 * MS);
        serving(service, layer, async |address| {
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let armed = now_ns();
            let mut request = Request::new(Bytes::new());
            request.extensions_mut().insert(Timeouts::streaming().header(Duration::MAX));
            let status = client.unary(request).await.expect_err("nobody answers");
            assert_passed(armed, 30 * MS);
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            assert!(error_of(&status).is_none(), "it is the server's word: {status}");
            assert_eq!(told.try_recv().as_deref(), Ok("elapsed"));

            let armed = now_ns();
            let mut request = Request::new(Bytes::new());
            request.set_timeout(Duration::from_secs(60));
            let status = client.unary(request).await.expect_err("nobody answers");
            assert_passed(armed, 60 * MS);
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            assert!(error_of(&status).is_none(), "it is the server's word: {status}");
            assert_eq!(told.try_recv().as_deref(), Ok("elapsed"));
        })
        .await;
    });
}

#[test]
fn p19_a_deadline_in_the_midst_of_a_stream_is_told_in_the_trailers() {
    on_runtime("mid-stream", async |_| {
        let service = BytesService::echo().stream(|_| async {
            let first = tokio_stream::once(Ok(Bytes::from_static(b"first")));
            let messages: Messages =
                Box::pin(tokio_stream::StreamExt::chain(first, tokio_stream::pending()));
            Ok(Response::new(messages))
        });
        let layer = DeadlineLayer::new().default_timeout(40 * MS);
        serving(service, layer, async |address| {
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let armed = now_ns();
            let mut request = Request::new(tokio_stream::pending::<Bytes>());
            request.extensions_mut().insert(Timeouts::streaming());
            let mut stream = client.stream(request).await.expect("a stream").into_inner();
            assert_eq!(stream.message().await.expect("a message").as_deref(), Some(&b"first"[..]));
            let status = stream.message().await.expect_err("the deadline");
            assert_passed(armed, 40 * MS);
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            assert_eq!(status.message(), "the deadline of the call has passed");
            assert!(error_of(&status).is_none(), "it is the server's word: {status}");
        })
        .await;
    });
}

#[test]
fn p19_a_call_that_is_dropped_cancels_what_its_handler_waits_for() {
    on_runtime("dropped", async |_| {
        let (service, told) = stalling();
        serving(service, DeadlineLayer::new(), async |address| {
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let mut calling = client.clone();
            let call = spawn(async move { calling.unary(Request::new(Bytes::new())).await.is_ok() });
            sleep(30 * MS).await;
            call.abort();
            let seen = wait_for(&told).await;
            assert_eq!(seen, "cancelled: the client has reset the call, or its connection has ended");

            // And one whose connection is gone.
            let ended = scope("page", Duration::from_secs(60), async |scope| {
                let canceller = scope.clone();
                scope.spawn(async move {
                    sleep(20 * MS).await;
                    canceller.cancel("the user has left");
                });
                client.unary(Request::new(Bytes::new())).await
            });
            let status = returned(ended.await).expect_err("nobody answers");
            assert_eq!(status.code(), Code::Cancelled);
            drop(client);
            let seen = wait_for(&told).await;
            assert!(seen.starts_with("cancelled: "), "{seen}");
        })
        .await;
    });
}

/// What was told, while the loop goes on.
pub(crate) async fn wait_for(told: &Receiver<String>) -> String {
    loop {
        match told.try_recv() {
            Ok(word) => return word,
            Err(_) => sleep(MS).await,
        }
    }
}

#[test]
fn p19_the_scope_of_a_handler_is_called_by_its_method_and_has_what_was_sent() {
    on_runtime("the scope", async |_| {
        let service = BytesService::unary(|_| async {
            let looked = send_future(async {
                let scope = current_scope().expect("a scope");
                let left = scope.deadline().expect("a deadline") - punctual::Instant::now();
                assert!(left <= Duration::from_secs(7) && left > Duration::from_secs(1), "{left:?}");
                scope.path().to_owned()
            });
            Ok(Response::new(Bytes::from(looked.await)))
        });
        serving(service, DeadlineLayer::new(), async |address| {
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let answer = scope("outer", Duration::from_secs(7), async |_| {
                client.unary(Request::new(Bytes::new())).await
            });
            let path = answer.await.expect("in time").expect("an answer").into_inner();
            let path = String::from_utf8(path.to_vec()).expect("text");
            assert!(path.ends_with("/test.Bytes/Unary"), "{path}");
        })
        .await;
    });
}

/// Deadline and cancel close together, in both orders: the client sees one of them, and the right one.
#[test]
fn p19_a_deadline_and_a_cancel_are_never_confused() {
    on_runtime("races", async |_| {
        let (seen, told) = channel();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let service = BytesService::unary(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            stall(seen.clone())
        });
        serving(service, DeadlineLayer::new(), async |address| {
            let client = BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let cancelled_first = Rc::new(RefCell::new([0, 0]));
            for round in 0..40_u32 {
                // Surely first, surely later, and from 8 ms before to 8 ms after.
                let cancel_after = match round % 8 {
                    0 => Duration::ZERO,
                    1 => Duration::from_secs(3600),
                    _ => Duration::from_micros(2_000 + u64::from(round) * 400),
                };
                let mut client = client.clone();
                let ended = scope("raced", 10 * MS, async |scope| {
                    let canceller = scope.clone();
                    scope.spawn(async move {
                        sleep(cancel_after).await;
                        canceller.cancel("on purpose");
                    });
                    (client.unary(Request::new(Bytes::new())).await, scope.end())
                });
                let (answer, end) = returned(ended.await);
                let status = answer.expect_err("nobody answers");
                // None: the server's word was there before.
                let by_deadline = end.is_none_or(|end| end.is_timeout());
                let ours = error_of(&status);
                match status.code() {
                    // The server's own word may come first: it is then a deadline too.
                    Code::DeadlineExceeded => {
                        assert!(by_deadline || ours.is_none(), "{round}: {status}");
                        assert!(ours.is_none_or(|ours| ours.cause().is_none()));
                    }
                    Code::Cancelled => {
                        assert!(!by_deadline, "{round}: {status}");
                        let cause = ours.expect("ours").cause().expect("why");
                        assert_eq!(cause.as_str(), "on purpose");
                    }
                    _ => panic!("{round}: {status}"),
                }
                cancelled_first.borrow_mut()[usize::from(by_deadline)] += 1;
            }
            let [cancels, deadlines] = *cancelled_first.borrow();
            assert!(cancels > 0 && deadlines > 0, "{cancels} cancels, {deadlines} deadlines");
            let mut words = 0;
            while words < begun.load(Ordering::Relaxed) {
                sleep(MS).await;
                words += told.try_iter().count();
            }
            sleep(20 * MS).await;
            assert_eq!(words, begun.load(Ordering::Relaxed), "each handler has seen its end once");
            assert_eq!(told.try_iter().count(), 0, "and not twice");
        })
        .await;
    });
}
