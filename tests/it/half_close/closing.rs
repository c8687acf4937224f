//! X04, X10: closing, and what the kernel is left with.

use super::*;

#[test]
fn x04_close_wait_no_leak() {
    on_alarms("x04", async |runtime| {
        let (listener, address) = listen();
        for _ in 0..20 {
            let clients: Vec<_> =
                (0..50).map(|_| std::net::TcpStream::connect(address).expect("connected")).collect();
            let mut served = Vec::new();
            for _ in 0..50 {
                served.push(listener.accept().await.expect("accepted"));
            }
            drop(clients);
            yield_now().await;
            drop(served);
        }
        assert_eq!(runtime.metrics().live_sources, 1, "the listener");
        assert_released(address.port(), |socket| socket.state == CLOSE_WAIT);
    });
}

#[test]
fn x10_lingering_close() {
    on_alarms("x10", async |_| {
        let (listener, address) = listen();
        // A client that sends all of its request before it looks for the answer.
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).expect("connected");
            let mut refused = false;
            for _ in 0..64 {
                refused |= stream.write_all(&[b'u'; 64 * 1024]).is_err();
            }
            stream.shutdown(Shutdown::Write).expect("ended");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("the answer, not a reset");
            (refused, answer)
        });
        let (server, _) = listener.accept().await.expect("accepted");
        server.read(&mut [0; 1024]).await.expect("the start of the request");
        server.write_all(b"413 too large").await.expect("sent");
        let discarded = server.close_in_order(PATIENCE).await.expect("the client ends");
        assert!(discarded >= 63 * 64 * 1024, "{discarded}");
        assert_eq!(server.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(client.join().expect("no panic"), (false, "413 too large".to_owned()));

        // One that never ends is not waited for.
        let (server, _silent) = tcp_pair().await;
        let armed = now_ns();
        let error = server.close_in_order(50 * MS).await.expect_err("the peer never ends");
        assert!(now_ns() - armed >= 50_000_000);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Shutdown));
        assert_eq!(server.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn closing_in_order_gives_the_peer_its_time_whatever_was_set_before() {
    on_alarms("close in order", async |_| {
        for case in ["a deadline that has passed", "a timeout of zero"] {
            let (server, client) = tcp_pair().await;
            let ending = punctual::spawn(async move {
                sleep(30 * MS).await;
                client.write_all(b"late").await.expect("sent");
                sleep(30 * MS).await;
                client.shutdown(Shutdown::Write).expect("ended");
                client
            });
            match case {
                "a timeout of zero" => server.set_read_timeout(Some(Duration::ZERO)).expect("open"),
                _ => server.set_read_deadline(Some(Instant::now() - MS)).expect("open"),
            }
            let closing = server.close_in_order(PATIENCE);
            assert!(size_of_val(&closing) < 1024, "{} bytes in every future", size_of_val(&closing));
            assert_eq!(closing.await.expect("the peer ends"), 4, "{case}");
            drop(ending.await.expect("no panic"));
        }

        let (server, client) = tcp_pair().await;
        let error = server.close_in_order(20 * MS).await.expect_err("the peer never ends");
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.budget(), Some(20 * MS));
        assert!(info.location().is_some_and(|at| at.file().ends_with("closing.rs")), "{error}");
        assert!(error.to_string().contains("timed out after 20 ms (deadline set at "), "{error}");
        drop(client);
        let (server, client) = tcp_pair().await;
        reset(client);
        let error = server.close_in_order(PATIENCE).await.expect_err("it was reset");
        assert_eq!(error.phase(), Phase::Shutdown);
    });
}
