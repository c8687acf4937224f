//! Servers that break off, answer something else, or lie; frame by frame.

use std::time::Duration;

use bytes::Bytes;
use punctual::grpc::{Channel, Timeouts, error_of};
use punctual::net::{Kind, Phase};
use punctual::sleep;
use punctual_tests_http::peer::http2::{END_HEADERS, END_STREAM, Frame, HEADERS, Http2, STATUS_200};
use punctual_tests_http::peer::{Peer, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};
use tonic::{Code, Request, Status};

use crate::bytes_service::BytesClient;

/// A header in HPACK: a literal that is not indexed, its name new (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

fn headers(stream: u32, status: &[u8], fields: &[(&str, &str)], end: bool) -> Frame {
    let mut payload = status.to_vec();
    fields.iter().for_each(|(name, value)| payload.extend(literal(name, value)));
    Frame::new(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, payload)
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// One message of one byte.
const MESSAGE: &[u8] = &[0, 0, 0, 0, 1, b'x'];

type Script = fn(&mut Http2<'_>, u32) -> std::io::Result<()>;

/// What a unary call ends with that such a server answers.
fn call_of(script: Script) -> Result<Bytes, Status> {
    let peer = Peer::start(move |_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let (stream, _) = http2.request_whole()?;
        script(&mut http2, stream)?;
        http2.ended()
    });
    on_runtime("a misbehaving server", async |_| {
        let mut client = BytesClient::new(Channel::connect(peer.url("")).await.expect("a connection"));
        let answer = client.unary(Request::new(Bytes::from_static(b"?"))).await;
        answer.map(tonic::Response::into_inner)
    })
}

#[test]
fn p21_resets_before_and_after_the_headers_have_the_codes_of_the_specification() {
    let before: [(Script, Code); 7] = [
        (|http2, stream| http2.reset(stream, 0), Code::Internal),
        (|http2, stream| http2.reset(stream, 1), Code::Internal),
        (|http2, stream| http2.reset(stream, 2), Code::Internal),
        (|http2, stream| http2.reset(stream, 7), Code::Unavailable),
        (|http2, stream| http2.reset(stream, 8), Code::Cancelled),
        (|http2, stream| http2.reset(stream, 11), Code::ResourceExhausted),
        (|http2, stream| http2.reset(stream, 12), Code::PermissionDenied),
    ];
    for (number, (script, code)) in before.into_iter().enumerate() {
        let status = call_of(script).expect_err("it was reset");
        assert_eq!(status.code(), code, "{number}: {status}");
        assert!(error_of(&status).is_none(), "{status}");
    }
    let after: [(Script, Code); 3] = [
        (|http2, stream| begun(http2, stream)?.reset(stream, 0), Code::Internal),
        (|http2, stream| begun(http2, stream)?.reset(stream, 8), Code::Cancelled),
        (|http2, stream| begun(http2, stream)?.reset(stream, 11), Code::ResourceExhausted),
    ];
    for (number, (script, code)) in after.into_iter().enumerate() {
        let status = call_of(script).expect_err("it was reset");
        assert_eq!(status.code(), code, "{number}: {status}");
    }
}

/// The headers and a message have come, and are taken before what follows.
fn begun<'a, 'b>(http2: &'a mut Http2<'b>, stream: u32) -> std::io::Result<&'a mut Http2<'b>> {
    http2.send(&headers(stream, &[STATUS_200], &[GRPC], false))?;
    http2.data(stream, MESSAGE, false)?;
    http2.connection.pause(20 * MS);
    Ok(http2)
}

#[test]
fn p21_answers_that_are_no_grpc_have_the_code_of_their_http_status() {
    let table: [(Script, Code); 6] = [
        (|h, s| h.send(&headers(s, &[], &[(":status", "503")], true)), Code::Unavailable),
        (|h, s| h.send(&headers(s, &[], &[(":status", "404")], true)), Code::Unimplemented),
        (
            |h, s| h.send(&headers(s, &[], &[(":status", "401"), ("content-type", "text/html")], true)),
            Code::Unauthenticated,
        ),
        (
            |h, s| {
                h.send(&headers(s, &[], &[(":status", "502"), ("content-type", "text/html")], false))?;
                h.data(s, b"<html>Bad gateway</html>", true)
            },
            Code::Unavailable,
        ),
        (
            |h, s| {
                h.send(&headers(s, &[STATUS_200], &[("content-type", "text/html")], false))?;
                h.data(s, b"<html>", true)
            },
            Code::Unknown,
        ),
        // By its own word, whatever HTTP says.
        (
            |h, s| h.send(&headers(s, &[], &[(":status", "503"), GRPC, ("grpc-status", "5")], true)),
            Code::NotFound,
        ),
    ];
    for (number, (script, code)) in table.into_iter().enumerate() {
        let status = call_of(script).expect_err("no gRPC");
        assert_eq!(status.code(), code, "{number}: {status}");
        assert!(error_of(&status).is_none(), "{status}");
    }
}

#[test]
fn p21_trailers_alone_are_an_answer_and_their_lack_is_none() {
    let only = call_of(|h, s| {
        let fields = [GRPC, ("grpc-status", "4"), ("grpc-message", "too%20late")];
        h.send(&headers(s, &[STATUS_200], &fields, true))
    });
    let status = only.expect_err("a status");
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "too late"));
    assert!(error_of(&status).is_none(), "a deadline of the server's: {status}");

    let missing = call_of(|h, s| {
        h.send(&headers(s, &[STATUS_200], &[GRPC], false))?;
        h.data(s, MESSAGE, true)
    });
    let status = missing.expect_err("no status");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "the response ended without a grpc-status")
    );

    let other = call_of(|h, s| {
        h.send(&headers(s, &[STATUS_200], &[GRPC], false))?;
        h.data(s, MESSAGE, false)?;
        h.send(&headers(s, &[], &[("something", "else")], true))
    });
    assert_eq!(other.expect_err("no status").code(), Code::Unknown);

    let good = call_of(|h, s| {
        h.send(&headers(s, &[STATUS_200], &[GRPC], false))?;
        h.data(s, MESSAGE, false)?;
        h.send(&headers(s, &[], &[("grpc-status", "0")], true))
    });
    assert_eq!(good.expect("an answer"), &b"x"[..]);
}

/// tonic 0.14.9 panics on such details.
#[test]
fn p21_details_that_are_no_base64_are_left_out() {
    for details in ["!", "a", "ab=c", "abc\u{e4}", "AB", "A===", "////="] {
        let peer = Peer::start(move |_, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            let (stream, _) = http2.request_whole()?;
            let fields = [GRPC, ("grpc-status", "9"), ("grpc-status-details-bin", details)];
            http2.send(&headers(stream, &[STATUS_200], &fields, true))?;
            let (stream, _) = http2.request_whole()?;
            http2.send(&headers(stream, &[STATUS_200], &[GRPC], false))?;
            http2.send(&headers(stream, &[], &fields[1..], true))?;
            http2.ended()
        });
        on_runtime("bad details", async |_| {
            let mut client =
                BytesClient::new(Channel::connect(peer.url("")).await.expect("a connection"));
            for _ in 0..2 {
                let status = client.unary(Request::new(Bytes::new())).await.expect_err("a status");
                assert_eq!(
                    (status.code(), status.details()),
                    (Code::FailedPrecondition, &b""[..]),
                    "{details}"
                );
            }
        });
    }
    let good = call_of(|h, s| {
        let fields = [GRPC, ("grpc-status", "9"), ("grpc-status-details-bin", "AAID")];
        h.send(&headers(s, &[STATUS_200], &fields, true))
    });
    assert_eq!(good.expect_err("a status").details(), [0, 2, 3]);
}

#[test]
fn p21_a_connection_that_ends_is_unavailable_and_the_next_call_has_a_new_one() {
    let peer = Peer::start(|number, connection| {
        if number == 0 {
            let mut http2 = Http2::begin(connection, &[])?;
            http2.request_whole()?;
            return connection.reset();
        }
        let mut http2 = Http2::begin(connection, &[])?;
        let (stream, _) = http2.request_whole()?;
        http2.send(&headers(stream, &[STATUS_200], &[GRPC, ("grpc-status", "6")], true))?;
        http2.ended()
    });
    on_runtime("a lost connection", async |_| {
        let mut client = BytesClient::new(Channel::lazy(peer.url("")).expect("a channel"));
        let status = client.unary(Request::new(Bytes::new())).await.expect_err("reset");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let status = client.unary(Request::new(Bytes::new())).await.expect_err("a status");
        assert_eq!(status.code(), Code::AlreadyExists, "{status}");
        assert_eq!(peer.connections(), 2);

        let mut nobody = BytesClient::new(Channel::lazy("http://127.0.0.1:1").expect("a channel"));
        let status = nobody.unary(Request::new(Bytes::new())).await.expect_err("nobody listens");
        assert_eq!(status.code(), Code::Unavailable);
        let ours = error_of(&status).expect("ours");
        assert!(matches!(ours.kind(), Kind::Kernel(_)) && ours.phase() == Phase::Connect, "{ours}");
    });
}

#[test]
fn p21_a_stalled_stream_ends_at_its_idle_time_or_its_total_and_is_reset() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        for _ in 0..2 {
            let (stream, _) = http2.request_whole()?;
            http2.send(&headers(stream, &[STATUS_200], &[GRPC], false))?;
            http2.data(stream, MESSAGE, false)?;
        }
        http2.ended()
    });
    on_runtime("a stalled stream", async |runtime| {
        let mut client = BytesClient::new(Channel::connect(peer.url("")).await.expect("a connection"));
        let bounds = [
            (Timeouts::new().idle(40 * MS), 40 * MS, "idle timeout"),
            (Timeouts::streaming().total(60 * MS), 60 * MS, "total timeout"),
        ];
        for (timeouts, bound, what) in bounds {
            let armed = now_ns();
            let mut request = Request::new(tokio_stream::once(Bytes::new()));
            request.extensions_mut().insert(timeouts);
            let mut stream = client.stream(request).await.expect("a stream").into_inner();
            assert!(stream.message().await.expect("a message").is_some());
            let status = stream.message().await.expect_err("silence");
            assert_passed(armed, bound);
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            let ours = error_of(&status).expect("ours");
            assert_eq!((ours.kind(), ours.phase()), (Kind::Timeout, Phase::Body));
            assert_eq!(ours.deadline().expect("which").description(), Some(what), "{ours}");
            assert!(ours.diagnosis().is_some(), "why: {ours}");
        }
        let phases = runtime.phases();
        let body = phases.iter().find(|phase| phase.phase == "body").expect("it was recorded");
        assert_eq!(body.endings.total(), 2, "{body:?}");
        sleep(20 * MS).await;
    });
    let resets = |seen: &[punctual_tests_http::peer::Seen]| {
        seen.iter()
            .filter(|seen| seen.what == What::Note("RST_STREAM Some([0, 0, 0, 8])".into()))
            .count()
    };
    // The first is read by the script's own look at the second request.
    assert!(resets(&peer.seen()) >= 1, "{:?}", peer.seen());
}

#[test]
fn p21_a_call_that_is_dropped_in_the_midst_of_both_streams_is_reset_with_cancel() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.send(&headers(stream, &[STATUS_200], &[GRPC], false))?;
        http2.ended()
    });
    on_runtime("dropped", async |_| {
        let mut client = BytesClient::new(Channel::connect(peer.url("")).await.expect("a connection"));
        let request = Request::new(tokio_stream::pending::<Bytes>());
        let stream = client.stream(request).await.expect("a stream");
        sleep(5 * MS).await;
        drop(stream);
        sleep(30 * MS).await;
        let seen = peer.seen();
        let reset = What::Note("RST_STREAM Some([0, 0, 0, 8])".to_owned());
        assert!(seen.iter().any(|seen| seen.what == reset), "{seen:?}");
    });
}

/// A black hole: nobody even accepts. A deadline comes before the connect's own.
#[test]
fn p21_a_call_that_waits_for_its_connection_ends_at_its_own_deadline() {
    on_runtime("no connection", async |_| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("bound");
        socket.listen(0).expect("it listens");
        let address = socket.local_addr().expect("its address").as_socket().expect("of IP");
        // One connection fills the backlog; further SYNs are dropped.
        let fill: Vec<_> =
            (0..2).map(|_| std::net::TcpStream::connect_timeout(&address, 200 * MS)).collect();
        let mut client =
            BytesClient::new(Channel::lazy(format!("http://{address}")).expect("a channel"));
        let armed = now_ns();
        let mut request = Request::new(Bytes::new());
        request.set_timeout(60 * MS);
        let status = client.unary(request).await.expect_err("nobody accepts");
        assert_passed(armed, 60 * MS);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let ours = error_of(&status).expect("ours");
        assert_eq!((ours.kind(), ours.phase()), (Kind::Timeout, Phase::Connect));
        assert_eq!(ours.deadline().expect("which").description(), Some("grpc-timeout"));

        // The connect's own end is none of the call's.
        let builder = Channel::builder(format!("http://{address}")).connect_timeout(50 * MS);
        let mut client = BytesClient::new(builder.lazy().expect("a channel"));
        let status = client.unary(Request::new(Bytes::new())).await.expect_err("nobody accepts");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(error_of(&status).expect("ours").is_timeout());
        drop(fill);
        sleep(Duration::from_millis(1)).await;
    });
}
