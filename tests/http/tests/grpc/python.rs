//! grpcio of Python on either side: an implementation that shares nothing with tonic's.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use punctual::grpc::{Channel, DeadlineLayer, error_of};
use punctual::reactor::Failure;
use punctual::{in_scope, scope, send_future};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, skip};
use tonic::client::Grpc;
use tonic::{Code, Request, Status};

use crate::bytes_service::{BytesClient, BytesCodec, BytesService};
use crate::server::{elsewhere, returned, serving, url, wait_for};

/// Debian's own, where its python3-grpcio is.
const PYTHON: &str = "/usr/bin/python3";
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc/peer.py");

fn has_grpcio() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    let there = found.is_ok_and(|status| status.success());
    if !there {
        skip("grpcio is not there: apt-get install python3-grpcio");
    }
    there
}

/// A server of grpcio's, until it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Server {
        let mut command = Command::new(PYTHON);
        command.args([PEER, "serve"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut port = String::new();
        output.read_line(&mut port).expect("its port");
        let port = port.trim().parse().expect("a number");
        Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)), output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn p22_our_client_calls_a_server_of_grpcio_and_each_end_has_its_code() {
    if !has_grpcio() {
        return;
    }
    let mut server = Server::start();
    on_runtime("grpcio serves", async |_| {
        let channel = Channel::connect(url(server.address)).await.expect("a connection");
        let mut client = BytesClient::new(channel.clone());
        let answer = scope("caller", 5_000 * MS, async |_| {
            client.unary(Request::new(Bytes::from_static(b"hello"))).await
        });
        let answer = answer.await.expect("in time").expect("an answer");
        let left: u64 = answer
            .metadata()
            .get("left-ms")
            .and_then(|left| left.to_str().ok()?.parse().ok())
            .expect("told");
        assert!((1_000..=5_000).contains(&left), "{left}");
        assert_eq!(answer.into_inner(), &b"hello"[..]);

        let stall = http::uri::PathAndQuery::from_static("/test.Bytes/Stall");
        let armed = now_ns();
        let mut calling = Grpc::new(channel.clone());
        let ended = scope("stalled", 60 * MS, async |_| {
            calling.unary(Request::new(Bytes::new()), stall.clone(), BytesCodec).await
        });
        let status = returned(ended.await).expect_err("it stalls");
        // grpcio counts the time that it was sent in milliseconds, and its word may come before ours.
        if error_of(&status).is_some() {
            assert_passed(armed, 60 * MS);
        }
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");

        let mut calling = Grpc::new(channel.clone());
        let ended = scope("cancelled", 20_000 * MS, async |scope| {
            let canceller = scope.clone();
            scope.spawn(async move {
                punctual::sleep(30 * MS).await;
                canceller.cancel("on purpose");
            });
            calling.unary(Request::new(Bytes::new()), stall, BytesCodec).await
        });
        let status = returned(ended.await).expect_err("it stalls");
        assert_eq!(status.code(), Code::Cancelled, "{status}");
        assert_eq!(error_of(&status).expect("ours").cause().expect("why").as_str(), "on purpose");

        let path = http::uri::PathAndQuery::from_static("/test.Bytes/Stream");
        let mut request = Request::new(Bytes::new());
        request.set_timeout(80 * MS);
        let armed = now_ns();
        let stream = Grpc::new(channel.clone()).server_streaming(request, path, BytesCodec).await;
        let mut stream = stream.expect("a stream").into_inner();
        assert_eq!(stream.message().await.expect("a message").as_deref(), Some(&b"first"[..]));
        let status = stream.message().await.expect_err("it stalls");
        assert_passed(armed, 80 * MS);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");

        let path = http::uri::PathAndQuery::from_static("/test.Bytes/Nothing");
        let status = Grpc::new(channel).unary(Request::new(Bytes::new()), path, BytesCodec).await;
        let status = status.expect_err("no such method");
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(error_of(&status).is_none(), "{status}");
    });
    // Each of the three stalled handlers has been told of its end.
    for _ in 0..3 {
        let mut line = String::new();
        server.output.read_line(&mut line).expect("a line");
        assert_eq!(line, "ended\n");
    }
}

/// What the client of grpcio's prints.
fn call(address: SocketAddr, method: &str, milliseconds: u64) -> (Vec<String>, u64) {
    let port = address.port().to_string();
    let arguments = [PEER, "call", &port, method, &milliseconds.to_string()];
    let mut child = Command::new(PYTHON).args(arguments).stdout(Stdio::piped()).spawn().expect("python");
    let mut output = String::new();
    child.stdout.take().expect("its output").read_to_string(&mut output).expect("text");
    assert!(child.wait().expect("it ends").success());
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    let took = lines.pop().expect("how long").parse().expect("a number");
    (lines, took)
}

#[test]
fn p22_a_client_of_grpcio_calls_our_server_and_each_end_has_its_code() {
    if !has_grpcio() {
        return;
    }
    on_runtime("grpcio calls", async |_| {
        let (seen, told) = std::sync::mpsc::channel();
        serving(BytesService::echo(), DeadlineLayer::new(), async |address| {
            let (lines, _) = elsewhere(move || call(address, "Unary", 10_000)).await;
            assert_eq!(lines, ["hello", "OK"]);
            let (lines, _) = elsewhere(move || call(address, "Stream", 10_000)).await;
            assert_eq!(lines, ["a,b", "OK"]);
            let (lines, _) = elsewhere(move || call(address, "Nothing", 10_000)).await;
            assert_eq!(lines, ["UNIMPLEMENTED"]);
        })
        .await;
        let stalls = BytesService::unary(move |_| {
            let seen = seen.clone();
            async move {
                let waited = send_future(in_scope(std::future::pending::<()>())).await;
                let word = match waited {
                    Err(Failure::Elapsed(_)) => "elapsed",
                    // grpcio has reset it at its own deadline, a little before.
                    Err(Failure::Cancelled(_)) => "cancelled",
                    _ => "something else",
                };
                seen.send(word.to_owned()).expect("the test waits");
                Err(Status::internal("the handler's own word"))
            }
        });
        let layer = DeadlineLayer::new().longest(50 * MS);
        serving(stalls, layer, async |address| {
            // The server's own deadline comes first: its word is what the client hears.
            let (lines, took) = elsewhere(move || call(address, "Unary", 10_000)).await;
            assert_eq!(lines, ["DEADLINE_EXCEEDED"]);
            assert!((50..5_000).contains(&took), "{took} ms");
            assert_eq!(wait_for(&told).await, "elapsed");
        })
        .await;
    });
}
