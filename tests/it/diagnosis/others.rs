//! What is no timeout of ours says so, and has no diagnosis; what is one keeps it on its way through `io::Error`.

use std::io::{self, ErrorKind};
use std::time::Duration;

use futures_io::AsyncRead;
use punctual::net::{Diagnosis, Error, Kind, Phase, TcpStream};
use punctual::{JoinHandle, Runtime, spawn};

use crate::support::MS;
use crate::support::net::*;

#[track_caller]
fn is_no_timeout(error: &Error, kind: Kind, phase: Phase, retry_safe: bool) {
    assert_eq!((error.kind(), error.phase()), (kind, phase), "{error}");
    assert!(error.deadline().is_none() && !error.is_timeout(), "{error}");
    assert_eq!((error.diagnosis(), error.is_retry_safe()), (None, retry_safe), "{error}");
}

#[test]
fn c01_x05_refused_and_reset() {
    on_alarms("refused and reset", async |_| {
        let (_held, address) = closed_port();
        let error = TcpStream::connect(address).await.expect_err("nobody listens");
        is_no_timeout(&error, Kind::Kernel(libc::ECONNREFUSED), Phase::Connect, true);
        assert_eq!(
            error.to_string(),
            format!("connect to {address} failed: Connection refused (os error 111)")
        );

        let (stream, peer) = tcp_pair().await;
        peer.set_linger(Some(Duration::ZERO)).expect("open");
        peer.close();
        let error = stream.read(&mut [0; 8]).await.expect_err("reset");
        is_no_timeout(&error, Kind::Kernel(libc::ECONNRESET), Phase::Read, false);
    });
}

/// A read that waits under a deadline of its own, which is not what ends it.
fn waiting_read(stream: TcpStream) -> (std::rc::Rc<TcpStream>, JoinHandle<Error>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("open");
    let stream = std::rc::Rc::new(stream);
    let reading = stream.clone();
    let read = spawn(async move { reading.read(&mut [0; 8]).await.expect_err("it is ended") });
    (stream, read)
}

#[test]
fn pol8_cancelled_and_closed() {
    on_alarms("cancelled and closed", async |_| {
        let (stream, _peer) = tcp_pair().await;
        let (stream, read) = waiting_read(stream);
        punctual::yield_now().await;
        stream.cancel("the user\nhas left");
        let error = read.await.expect("no panic");
        is_no_timeout(&error, Kind::Cancelled, Phase::Read, false);
        assert_eq!(
            error.to_string(),
            format!("read from {} was cancelled: the user\\nhas left", stream.peer_addr())
        );

        let (stream, _peer) = tcp_pair().await;
        let (stream, read) = waiting_read(stream);
        punctual::yield_now().await;
        stream.close();
        is_no_timeout(&read.await.expect("no panic"), Kind::Closed, Phase::Read, false);
    });
}

#[test]
fn k14_shut_down() {
    let runtime = Runtime::new().expect("a runtime");
    let handle = runtime.handle();
    let error = runtime.block_on(async {
        let (stream, _peer) = tcp_pair().await;
        let (_stream, read) = waiting_read(stream);
        punctual::yield_now().await;
        handle.shutdown().expect("it runs");
        read.await.expect("no panic")
    });
    is_no_timeout(&error, Kind::Shutdown, Phase::Read, false);
}

#[test]
fn a_diagnosis_travels_through_the_io_traits_whole() {
    on_alarms("io traits", async |_| {
        let (mut stream, _peer) = tcp_pair().await;
        stream.set_read_timeout(Some(30 * MS)).expect("open");
        let mut buffer = [0; 8];
        let poll = std::future::poll_fn(|cx| std::pin::Pin::new(&mut stream).poll_read(cx, &mut buffer));
        let error: io::Error = poll.await.expect_err("silent");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // As a library does that knows nothing of it.
        let wrapped = io::Error::new(error.kind(), error);
        let inner = wrapped.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
        let ours = inner.and_then(Error::from_io).expect("one of ours");
        let kept =
            matches!(ours.diagnosis(), Some(Diagnosis::PeerSilent { .. } | Diagnosis::LoopLate { .. }));
        assert!(kept, "{ours:?}");
        assert!(ours.deadline().and_then(|info| info.firing()).is_some(), "{ours:?}");
        let sentence = ours.to_string();
        let inner = wrapped.into_inner().and_then(|inner| inner.downcast::<io::Error>().ok());
        let whole = Error::take_from_io(*inner.expect("what was wrapped")).expect("one of ours");
        assert_eq!(whole.to_string(), sentence);
    });
}
