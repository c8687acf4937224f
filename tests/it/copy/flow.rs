//! What moves, in which order it ends, and who is told.

use super::*;

#[test]
fn x01_a_half_close_is_handed_on_whoever_ends_first() {
    for client_first in [true, false] {
        on_virtual("x01", async |_| {
            let (client, server, copying) = proxied(4096, unbounded());
            let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
            first.send_all(b"request").await.expect("room");
            first.end();
            assert_eq!(second.recv_all().await.expect("the request, then its end"), b"request");
            sleep(10 * S).await;
            second.send_all(b"response").await.expect("the other half is open");
            second.end();
            assert_eq!(first.recv_all().await.expect("the response, then its end"), b"response");
            let copied = copying.await.expect("no panic").expect("both ended");
            let (there, back) = match client_first {
                true => (copied.a_to_b, copied.b_to_a),
                false => (copied.b_to_a, copied.a_to_b),
            };
            assert_eq!(
                (there.bytes, there.end, back.bytes, back.end),
                (7, FlowEnd::Ended, 8, FlowEnd::Ended)
            );
            let apart = back.ended_at.expect("ended") - there.ended_at.expect("ended");
            assert_eq!(apart, 10 * S);
            assert!(first.is_alone() && second.is_alone(), "both streams are closed");
        });
    }
}

#[test]
fn a_response_larger_than_all_buffers_arrives_whole_after_the_end_of_the_request() {
    on_alarms("large response", async |_| {
        let (client, proxy_client) = small_tcp_pair().await;
        let (proxy_server, server) = small_tcp_pair().await;
        let options = CopyOptions::new().half_close_linger(PATIENCE).idle_timeout(PATIENCE);
        let copying = spawn(copy_bidirectional(proxy_client, proxy_server, options));
        let response = pattern(6 << 20);
        let serving = spawn({
            let response = response.clone();
            async move {
                let mut request = [0; 64];
                let length = server.read(&mut request).await.expect("the request");
                assert_eq!(&request[..length], b"request");
                assert_eq!(server.read(&mut request).await.expect("its end"), 0);
                server.write_all(&response).await.expect("the client takes it");
            }
        });
        client.write_all(b"request").await.expect("sent");
        client.shutdown(std::net::Shutdown::Write).expect("ended");
        let received = punctual::net::io::read_to_end(&client, 8 << 20).await.expect("the response");
        assert!(received == response, "{} of {} bytes", received.len(), response.len());
        let copied = copying.await.expect("no panic").expect("both ended");
        assert_eq!((copied.a_to_b.bytes, copied.b_to_a.bytes), (7, response.len() as u64));
        serving.await.expect("no panic");
    });
}

#[test]
fn x04_both_streams_are_closed_when_a_copy_is_over_though_its_future_is_kept() {
    on_virtual("kept future", async |_| {
        for fails in [false, true] {
            let (mut client, proxy_client) = duplex(64);
            let (proxy_server, mut server) = duplex(64);
            let mut copying =
                copy_bidirectional(proxy_client, proxy_server, unbounded().idle_timeout(S));
            if !fails {
                client.end();
                server.end();
            }
            assert_eq!((&mut copying).await.is_err(), fails);
            assert!(client.is_alone() && server.is_alone(), "nobody has to drop it");
            drop(copying);
        }
    });
}

#[test]
fn x06_what_was_sent_before_a_reset_arrives_and_the_reset_is_no_end() {
    on_virtual("reset", async |_| {
        let (mut client, mut server, copying) = proxied(64, unbounded());
        server.send_all(b"half a resp").await.expect("room");
        server.reset();
        let mut received = [0; 64];
        assert_eq!(client.recv(&mut received).await.expect("what came before"), 11);
        let error = copying.await.expect("no panic").expect_err("a reset");
        assert_eq!(error.phase(), Phase::Read);
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionReset);
        assert!(client.is_alone());
    });
}

#[test]
fn x10_what_a_receiver_sent_before_it_went_is_delivered_before_the_copy_fails() {
    on_virtual("early response", async |_| {
        let (mut client, mut server, copying) = proxied(64, unbounded());
        let response = pattern(150);
        let uploading = spawn(async move {
            client.send_all(&[0; 500]).await.expect("room");
            let mut received = Vec::new();
            let mut buffer = [0; 10];
            while received.len() < 150 {
                // Slower than the server, which is gone long before.
                sleep(S).await;
                let read = client.recv(&mut buffer).await.expect("the response");
                received.extend_from_slice(&buffer[..read]);
            }
            (received, client)
        });
        server.send_all(&response).await.expect("room in time");
        drop(server);
        let (received, client) = uploading.await.expect("no panic");
        assert!(received == response, "{} bytes", received.len());
        let error = copying.await.expect("no panic").expect_err("the upload was not taken");
        let copied = error.copied().expect("a copy");
        assert_eq!((copied.a_to_b.end, copied.b_to_a.end), (FlowEnd::WriteFailed, FlowEnd::Ended));
        assert_eq!((copied.b_to_a.bytes, copied.a_to_b.bytes), (150, 64));
        assert_eq!(copied.a_to_b.undelivered.len() as u64 + copied.a_to_b.discarded, 500 - 64);
        assert!(
            error.to_string().contains("64 bytes had gone from client to server (its receiver failed)")
        );
        assert!(client.is_alone());
    });
}

#[test]
fn b01_a_sender_is_not_read_from_until_its_receiver_has_taken_what_came_before() {
    on_virtual("backpressure", async |_| {
        let (mut client, mut server, copying) = proxied(100, unbounded().buffer(1000));
        let sent = std::rc::Rc::new(std::cell::Cell::new(0));
        let flooding = spawn({
            let sent = sent.clone();
            async move {
                while sent.get() < 10_000 {
                    client.send_all(&[sent.get() as u8]).await.expect("room, some day");
                    sent.set(sent.get() + 1);
                }
                client.end();
                client
            }
        });
        settle().await;
        let held = sent.get();
        assert!(
            held <= 100 + 1000 + 100,
            "{held} bytes were taken from a client whose server reads nothing"
        );
        sleep(S).await;
        assert_eq!(sent.get(), held, "and no more later");
        let received = server.recv_all().await.expect("all");
        assert!(
            received.iter().enumerate().all(|(n, byte)| *byte == n as u8) && received.len() == 10_000
        );
        assert!(server.peak() <= 100);
        server.end();
        assert_eq!(copying.await.expect("no panic").expect("both ended").a_to_b.bytes, 10_000);
        drop(flooding.await);
    });
}

/// What one side does: sends so much in pieces of its own, and reads as it likes.
async fn peer(mut end: Duplex, seed: u64, length: usize, cut: bool) -> Result<Vec<u8>, Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let data = pattern(length);
    let (mut sent, mut received, mut buffer) = (0, Vec::new(), vec![0; 1 + random.usize(..3000)]);
    let (mut ended, mut heard) = (false, false);
    while !(ended && heard) {
        if !ended && (heard || random.bool()) {
            let piece = random.usize(1..=2000).min(length - sent);
            let sending = end.send_all(&data[sent..sent + piece]);
            // Both may be full: what cannot be sent at once is tried again after a read.
            match punctual::timeout(MS * random.u32(..5), sending).await {
                Ok(Ok(())) if sent + piece == length && cut => {
                    end.reset();
                    return Err(received);
                }
                Ok(Ok(())) if sent + piece == length => {
                    ended = true;
                    end.end();
                }
                Ok(Ok(())) => sent += piece,
                Ok(Err(_)) => return Err(received),
                Err(_) => sent = end.sent(),
            }
        } else if !heard {
            match punctual::timeout(MS * random.u32(..5), end.recv(&mut buffer)).await {
                Ok(Ok(0)) => heard = true,
                Ok(Ok(read)) => received.extend_from_slice(&buffer[..read]),
                Ok(Err(_)) => return Err(received),
                Err(_) => {}
            }
        }
    }
    Ok(received)
}

#[test]
fn b04_random_pieces_through_awkward_streams_arrive_as_they_were_sent() {
    for seed in seeds(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]) {
        println!("PUNCTUAL_SEED={seed}");
        on_virtual("random copies", async |_| {
            let mut random = fastrand::Rng::with_seed(seed);
            let room = random.usize(1..5000);
            let (client, proxy_client) = duplex(room);
            let (proxy_server, server) = duplex(room);
            let options = unbounded().buffer(1 << random.u32(..16));
            let copying = spawn(copy_bidirectional(
                proxy_client.faulty(seed),
                proxy_server.faulty(seed + 1),
                options,
            ));
            let lengths = [random.usize(1..100_000), random.usize(1..100_000)];
            let cut = random.u8(..) < 64;
            let left = spawn(peer(client.faulty(seed + 2), seed + 3, lengths[0], cut));
            let right = spawn(peer(server.faulty(seed + 4), seed + 5, lengths[1], false));
            let result = copying.await.expect("no panic");
            let (left, right) = (left.await.expect("no panic"), right.await.expect("no panic"));
            let (Ok(there) | Err(there), Ok(back) | Err(back)) = (&right, &left);
            assert!(
                pattern(lengths[0]).starts_with(there),
                "what the server got is what the client sent"
            );
            assert!(pattern(lengths[1]).starts_with(back));
            match result {
                Ok(copied) => {
                    assert_eq!([copied.a_to_b.bytes, copied.b_to_a.bytes], lengths.map(|n| n as u64));
                    assert_eq!([there.len(), back.len()], lengths);
                    assert!(!cut);
                }
                Err(error) => {
                    assert!(cut, "{error}");
                    let copied = error.copied().expect("a copy");
                    assert!(copied.a_to_b.bytes >= there.len() as u64);
                    let end = copied.a_to_b.bytes as usize + copied.a_to_b.undelivered.len();
                    let taken = &pattern(lengths[0])[copied.a_to_b.bytes as usize..end];
                    assert!(copied.a_to_b.undelivered == taken, "none lost, none twice");
                }
            }
        });
    }
}
