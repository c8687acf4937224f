//! What is told of a call: events, spans, records; and what is refused before it begins.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use punctual::grpc::{Channel, DeadlineLayer, Timeouts, error_of};
use punctual::net::TcpListener;
use punctual::{Unbounded, scope, sleep, spawn};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::{MS, on_runtime};
use tonic::service::Routes;
use tonic::{Code, Request};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::bytes_service::{BytesClient, BytesService, Messages};
use crate::server::{elsewhere, serving, url};
use crate::tokio_side::on_tokio;

/// Keeps the events of phases, each as its name and its fields.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("memory");
    }
}

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "punctual::phase" {
            let mut fields = Fields(event.metadata().name().to_owned());
            event.record(&mut fields);
            self.0.lock().expect("no panic").push(fields.0);
        }
    }
}

#[test]
fn p23_a_timeout_of_the_headers_and_one_of_the_body_are_told_by_one_event_each() {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::registry().with(kept.clone());
    // While there is but one, tracing takes the interest of whichever thread comes to an event first for everybody's.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let told = tracing::subscriber::set_default(subscriber);
    on_runtime("events", async |_| {
        let stalls = BytesService::unary(|_| std::future::pending()).stream(|_| async {
            let messages: Messages = Box::pin(tokio_stream::pending());
            Ok(tonic::Response::new(messages))
        });
        serving(stalls, DeadlineLayer::new(), async |address| {
            let mut client =
                BytesClient::new(Channel::connect(url(address)).await.expect("a connection"));
            let mut request = Request::new(Bytes::new());
            request.extensions_mut().insert(Timeouts::new().header(20 * MS));
            assert!(client.unary(request).await.is_err());
            let mut request = Request::new(tokio_stream::pending::<Bytes>());
            request.extensions_mut().insert(Timeouts::new().idle(20 * MS));
            let mut stream = client.stream(request).await.expect("a stream").into_inner();
            assert!(stream.message().await.is_err());
            let ended = scope("checkout", 20 * MS, async |_| {
                client.unary(Request::new(Bytes::new())).await.is_err()
            });
            drop(ended.await);
        })
        .await;
    });
    drop(told);
    let events = kept.0.lock().expect("no panic");
    let of =
        |name: &str| -> Vec<&String> { events.iter().filter(|event| event.starts_with(name)).collect() };
    let headers = of("grpc.header.timeout ");
    assert_eq!(headers.len(), 2, "{events:#?}");
    for field in [
        "phase=\"grpc-header\"",
        "budget_ms=20",
        "deadline_kind=\"own\"",
        "header_recv_ts=",
        "endpoint=\"127.0.0.1:",
    ] {
        assert!(headers[0].contains(field), "{field}: {}", headers[0]);
    }
    for field in ["deadline_kind=\"scope\"", "deadline_name=\"checkout\""] {
        assert!(headers[1].contains(field), "{field}: {}", headers[1]);
    }
    let bodies = of("http.body.timeout ");
    assert_eq!(bodies.len(), 1, "{events:#?}");
    for field in ["phase=\"body\"", "deadline_kind=\"idle\"", "elapsed_ms=", "late_us="] {
        assert!(bodies[0].contains(field), "{field}: {}", bodies[0]);
    }
    assert_eq!(events.len(), 3, "{events:#?}");
}

#[test]
fn p23_a_grpc_timeout_that_is_none_is_refused_on_both_sides() {
    on_runtime("malformed", async |_| {
        let called = Arc::new(Mutex::new(0));
        let counts = called.clone();
        let service = BytesService::unary(move |request: Request<Bytes>| {
            *counts.lock().expect("no panic") += 1;
            async move { Ok(tonic::Response::new(request.into_inner())) }
        });
        serving(service, DeadlineLayer::new(), async |address| {
            for (text, code) in [
                ("5s", Code::Internal),
                ("+5S", Code::Internal),
                ("123456789n", Code::Internal),
                ("0n", Code::DeadlineExceeded),
            ] {
                let mut request = Request::new(Bytes::new());
                request.metadata_mut().insert("grpc-timeout", text.parse().expect("a value"));
                let refused = elsewhere(move || {
                    on_tokio(async move {
                        let endpoint =
                            tonic::transport::Endpoint::from_shared(url(address)).expect("a URL");
                        let mut client =
                            BytesClient::new(endpoint.connect().await.expect("a connection"));
                        client.unary(request).await
                    })
                });
                let status = refused.await.expect_err("it is malformed, or over");
                // tonic's own timer calls a time that is over before it began CANCELLED.
                let by_tonic = text == "0n" && status.code() == Code::Cancelled;
                assert!(status.code() == code || by_tonic, "{text}: {status}");
                let mut request = Request::new(Bytes::new());
                request.metadata_mut().insert("grpc-timeout", text.parse().expect("a value"));
                let mut client = BytesClient::new(Channel::lazy(url(address)).expect("a channel"));
                let status = client.unary(request).await.expect_err("it is malformed, or over");
                assert_eq!(status.code(), code, "{text}: {status}");
                let ours = error_of(&status)
                    .is_some_and(|ours| ours.deadline().is_some_and(|info| info.before_it_began()));
                assert_eq!(ours, code == Code::DeadlineExceeded, "{status}");
            }
        })
        .await;
        assert_eq!(*called.lock().expect("no panic"), 0, "no handler was begun");
    });
}

#[test]
fn p23_uris_that_make_no_sense_are_said_so() {
    for uri in ["", "127.0.0.1:80", "ftp://a:1", "http://a/path", "http://a:1/?q", "http://"] {
        let error = Channel::lazy(uri).expect_err(uri);
        assert_eq!(error.kind(), punctual::net::Kind::InvalidInput, "{uri}: {error}");
    }
    for uri in ["http://a", "http://a:1/", "http://[::1]:1", "https://user:secret@a"] {
        let channel = Channel::lazy(uri).expect(uri);
        assert!(!format!("{channel:?}").contains("secret"));
    }
}

#[test]
fn p23_calls_go_over_tls_and_a_certificate_that_is_not_trusted_is_unavailable() {
    on_runtime("tls", async |_| {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let routes = Routes::new(BytesService::echo());
        let acceptor = authority.localhost().acceptor().alpn(["h2"]);
        let serve = punctual::grpc::serve(listener, routes).tls(acceptor);
        let drainer = serve.drainer();
        let server = spawn(async move { serve.await });
        let trusting = Channel::builder(format!("https://localhost:{port}")).tls(authority.connector());
        let mut client = BytesClient::new(trusting.connect().await.expect("a connection"));
        let answer = client.unary(Request::new(Bytes::from_static(b"secret"))).await.expect("an answer");
        assert_eq!(answer.into_inner(), &b"secret"[..]);
        let other =
            Channel::builder(format!("https://localhost:{port}")).tls(Authority::new().connector());
        let mut client = BytesClient::new(other.lazy().expect("a channel"));
        let status = client.unary(Request::new(Bytes::new())).await.expect_err("not trusted");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(error_of(&status).is_some());
        drainer.drain(1_000 * MS);
        drop(client);
        server.await.expect("no panic").expect("it has served");
        sleep(MS).await;
        drop(scope("nothing", Unbounded, async |_| {}).await);
    });
}
