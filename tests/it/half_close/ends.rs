//! X01–X03, X08: one side has ended, the other goes on, for so long.

use super::*;

#[test]
fn x01_half_close_round() {
    async fn body<T: Pair>(_: &Runtime) {
        let (client, server) = T::pair().await;
        let answer = pattern(1 << 20);
        let serving = spawn({
            let answer = answer.clone();
            async move {
                assert_eq!(read_all(&server).await, (b"request".to_vec(), None));
                sleep(50 * MS).await;
                server.write_all(&answer).await.expect("the other half is open");
            }
        });
        client.write_all(b"request").await.expect("sent");
        client.shutdown(Shutdown::Write).expect("ended");
        let (received, ended) = read_all(&client).await;
        assert_eq!((received.len(), ended), (answer.len(), None), "all, then the end");
        assert!(received == answer);
        assert_eq!(client.write(b"x").await.expect_err("its own half is ended").kind(), EPIPE);
        serving.await.expect("no panic");
    }
    on_streams!(body);
}

#[test]
fn x02_close_read() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        let left = Rc::new(left);
        let reader = left.clone();
        let reading = spawn(async move { reader.read(&mut [0; 8]).await.map_err(|e| e.kind()) });
        sleep(10 * MS).await;
        left.shutdown(Shutdown::Read).expect("ended");
        assert_eq!(reading.await.expect("no panic"), Ok(0), "what waits sees the end");
        assert_eq!(left.read(&mut [0; 8]).await.expect("the end"), 0);
        left.write_all(b"still open").await.expect("sent");
        assert_eq!(right.recv_exactly(10).await, b"still open");
    }
    on_streams!(body);
}

#[test]
fn x03_fin_wait2() {
    on_alarms("x03", async |_| {
        let (left, _silent) = tcp_pair().await;
        let port = left.local_addr().expect("its address").port();
        let peer = left.peer_addr().port();
        left.shutdown(Shutdown::Write).expect("ended");
        let armed = now_ns();
        left.set_read_deadline(Some(Instant::now() + 50 * MS)).expect("open");
        let error = left.read(&mut [0; 8]).await.expect_err("the peer neither sends nor ends");
        assert!(error.is_timeout() && now_ns() - armed >= 50_000_000, "{error}");
        drop(left);
        // One local port may serve connections to several peers.
        let one = |s: &KernelSocket| (s.local_port, s.peer_port) == (port, peer);
        assert_released(port, one);
        let ours: Vec<_> = kernel_sockets(port).into_iter().filter(one).collect();
        let [orphan] = &ours[..] else { panic!("one socket in FIN_WAIT2: {ours:?}") };
        assert_eq!((orphan.state, orphan.inode), (FIN_WAIT2, 0), "the kernel's, and nobody else's");
    });
}

#[test]
fn x03_a_silent_peer_times_out_after_a_half_close_and_reads_the_end_once_all_is_dropped() {
    async fn body<T: Pair>(runtime: &Runtime) {
        let (left, silent) = T::pair().await;
        left.shutdown(Shutdown::Write).expect("ended");
        let armed = clock_ns();
        left.set_read_deadline(Some(Instant::now() + 50 * MS)).expect("open");
        let error = left.read(&mut [0; 8]).await.expect_err("the peer neither sends nor ends");
        assert!(error.is_timeout(), "{error}");
        assert_passed(armed, 50 * MS);
        drop(left);
        assert_eq!(runtime.metrics().live_sources, 1, "only the silent one is left");
        assert_eq!(read_all(&silent).await, (vec![], None));
    }
    on_streams!(body);
}

#[test]
fn x08_shutdown_idempotent() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        for _ in 0..3 {
            left.shutdown(Shutdown::Write).expect("again");
        }
        right.shutdown(Shutdown::Both).expect("at the same time");
        assert_eq!(read_all(&left).await, (vec![], None));
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            left.shutdown(how).expect("also after both ends have ended");
        }
        // Who has not read all resets the connection by closing it.
        let (left, right) = T::pair().await;
        left.write_all(b"unread").await.expect("sent");
        right.set_read_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        right.peek(&mut [0; 1]).await.expect("it has come");
        drop(right);
        assert_eq!(read_all(&left).await.1, Some(ECONNRESET));
        left.shutdown(Shutdown::Both).expect("after a reset");
        left.close();
        assert_eq!(left.shutdown(Shutdown::Both).expect_err("closed").kind(), Kind::Closed);
    }
    on_streams!(body);
}

#[test]
fn x03_an_answer_in_fin_wait2_is_read_under_the_deadline_and_a_moved_one_counts() {
    on_alarms("x03 answered", async |_| {
        let (left, right) = tcp_pair().await;
        left.set_read_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        left.shutdown(Shutdown::Write).expect("ended");
        let answering = spawn(async move {
            assert_eq!(right.read(&mut [0; 8]).await.expect("the end"), 0);
            for _ in 0..4 {
                sleep(10 * MS).await;
                right.write_all(b"slowly").await.expect("the other half is open");
            }
            right
        });
        assert_eq!(left.recv_exactly(24).await, b"slowlyslowlyslowlyslowly");
        let armed = now_ns();
        left.set_read_deadline(Some(Instant::now() + 40 * MS)).expect("open");
        let error = left.read(&mut [0; 8]).await.expect_err("it neither sends nor ends");
        assert!(error.is_timeout() && now_ns() - armed >= 40_000_000, "{error}");
        left.set_read_deadline(None).expect("open");
        let right = answering.await.expect("no panic");
        right.write_all(b"!").await.expect("a timeout has broken nothing");
        drop(right);
        assert_eq!(read_all(&left).await, (b"!".to_vec(), None));
    });
}
