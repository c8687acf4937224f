//! Our client against tonic's own server.

use std::time::Duration;

use bytes::Bytes;
use punctual::grpc::{Channel, error_of};
use punctual::net::{Kind, Phase};
use punctual::{Unbounded, scope, sleep};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::bytes_service::{BytesClient, BytesService};
use crate::server::returned;
use crate::tokio_side::TonicServer;

#[test]
fn p18_a_generated_client_runs_unchanged_unary_and_streaming() {
    on_runtime("health", async |_| {
        let server = TonicServer::start(BytesService::echo());
        let channel = Channel::connect(server.url()).await.expect("a connection");
        let mut client = HealthClient::new(channel);
        let answer = client.check(HealthCheckRequest::default()).await.expect("an answer");
        assert_eq!(answer.into_inner().status, 1, "SERVING");
        let request = HealthCheckRequest { service: "nobody".to_owned() };
        let status = client.check(request).await.expect_err("no such service");
        assert_eq!((status.code(), status.message()), (Code::NotFound, "service not registered"));
        assert!(error_of(&status).is_none(), "it is the server's");

        let mut watch =
            client.watch(HealthCheckRequest::default()).await.expect("a stream").into_inner();
        assert_eq!(watch.message().await.expect("a message").expect("one").status, 1);
        server.health.set_service_status("", ServingStatus::NotServing).await;
        assert_eq!(watch.message().await.expect("a message").expect("one").status, 2);
        drop(watch);
        drop(client);
        sleep(MS).await;
        drop(server);
    });
}

#[test]
fn p18_streams_go_both_ways_and_end() {
    on_runtime("both ways", async |_| {
        let server = TonicServer::start(BytesService::echo());
        let mut client = BytesClient::new(Channel::lazy(server.url()).expect("a channel"));
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut answers = client.stream(Request::new(requests)).await.expect("a stream").into_inner();
        for round in 0..100_u32 {
            let message = Bytes::from(vec![round as u8; round as usize * 37]);
            sender.send(message.clone()).await.expect("it is read");
            assert_eq!(answers.message().await.expect("an answer"), Some(message));
        }
        drop(sender);
        assert_eq!(answers.message().await.expect("the end"), None);
        let large = Bytes::from(vec![7; 3 << 20]);
        let answer = client.unary(Request::new(large.clone())).await.expect("an answer");
        assert_eq!(answer.into_inner(), large);
    });
}

#[test]
fn p18_a_deadline_of_the_scope_or_of_the_request_is_exceeded_and_a_cancel_is_a_cancel() {
    on_runtime("stalled", async |_| {
        let server = TonicServer::start(BytesService::unary(|_| std::future::pending()));
        let mut client = BytesClient::new(Channel::connect(server.url()).await.expect("a connection"));

        let armed = now_ns();
        let mut request = Request::new(Bytes::new());
        request.set_timeout(40 * MS);
        let status = client.unary(request).await.expect_err("nobody answers");
        assert_passed(armed, 40 * MS);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");

        let armed = now_ns();
        let mut calling = client.clone();
        let ended =
            scope("checkout", 40 * MS, async |_| calling.unary(Request::new(Bytes::new())).await);
        let status = returned(ended.await).expect_err("nobody answers");
        assert_passed(armed, 40 * MS);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let ours = error_of(&status).expect("ours");
        assert_eq!((ours.kind(), ours.phase()), (Kind::Timeout, Phase::GrpcHeader));
        assert_eq!(ours.deadline().expect("which").scope(), Some("checkout"));

        let mut calling = client.clone();
        let ended = scope("page", Duration::from_secs(60), async |scope| {
            let canceller = scope.clone();
            scope.spawn(async move {
                sleep(20 * MS).await;
                canceller.cancel("the user has left");
            });
            calling.unary(Request::new(Bytes::new())).await
        });
        let status = returned(ended.await).expect_err("nobody answers");
        assert_eq!(status.code(), Code::Cancelled, "{status}");
        let ours = error_of(&status).expect("ours");
        assert_eq!(ours.cause().expect("why").as_str(), "the user has left");

        let ended = scope("free", Unbounded, async |_| {
            let header = punctual::grpc::Timeouts::new().header(30 * MS);
            let mut request = Request::new(Bytes::new());
            request.extensions_mut().insert(header);
            let armed = now_ns();
            let status = client.unary(request).await.expect_err("nobody answers");
            assert_passed(armed, 30 * MS);
            status
        });
        let status = ended.await.expect("it returned");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let ours = error_of(&status).expect("ours");
        let which = ours.deadline().expect("which").description();
        assert_eq!((ours.phase(), which), (Phase::GrpcHeader, Some("header timeout")));
        let said = ours.to_string();
        assert!(said.contains("(header timeout set at ") && said.contains("grpc/client.rs"), "{said}");
    });
}
