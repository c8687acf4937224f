//! Silence, slowness and length, on a virtual clock: to the nanosecond where no leeway is taken.

use super::*;

/// How long the copy took from now, and its error.
async fn fails(copying: JoinHandle<Result<Copied, Error>>) -> (Duration, Error) {
    let start = Instant::now();
    let error = copying.await.expect("no panic").expect_err("a bound");
    (start.elapsed(), error)
}

/// Ended at `bound`, neither early nor later than the leeway of a guard.
fn on_time(passed: Duration, bound: Duration) {
    assert!((bound..=bound + MS).contains(&passed), "{passed:?} of {bound:?}");
}

#[test]
fn silence_ends_a_copy_after_the_idle_timeout() {
    on_virtual("idle", async |_| {
        let (client, server, copying) = proxied(64, unbounded().idle_timeout(60 * S));
        let (passed, error) = fails(copying).await;
        on_time(passed, 60 * S);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Copy));
        let info = error.deadline().expect("a bound");
        assert_eq!((info.description(), info.budget()), (Some("idle timeout"), Some(60 * S)));
        assert!(info.location().is_some_and(|at| at.file().ends_with("bounds.rs")));
        let said = error.to_string();
        assert!(
            said.starts_with(
                "copy between client and server timed out after 60 s (idle timeout set at "
            ),
            "{said}"
        );
        assert!(
            said.ends_with(
                "; 0 bytes had gone from client to server (still open) and 0 back (still open)"
            ),
            "{said}"
        );
        assert!(client.is_alone() && server.is_alone());
    });
}

#[test]
fn a_byte_either_way_keeps_a_copy_alive_and_nothing_else_does() {
    on_virtual("idle extended", async |_| {
        let (mut client, mut server, copying) = proxied(64, unbounded().idle_timeout(60 * S));
        let last_moment = 60 * S - NS;
        for round in 0..10 {
            sleep(last_moment).await;
            let (from, to) =
                if round % 2 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
            from.send_all(b"x").await.expect("room");
            assert_eq!(to.recv(&mut [0; 8]).await.expect("alive"), 1);
        }
        let (passed, error) = fails(copying).await;
        on_time(passed, 60 * S);
        let copied = error.copied().expect("a copy");
        assert_eq!((copied.a_to_b.bytes, copied.b_to_a.bytes, error.transferred()), (5, 5, 10));
    });
}

#[test]
fn what_a_slow_receiver_takes_is_life_too() {
    on_virtual("write progress", async |_| {
        let options = unbounded().idle_timeout(60 * S).buffer(1000);
        let (mut client, mut server, copying) = proxied(1000, options);
        client.send_all(&pattern(1000)).await.expect("room");
        client.send_all(&pattern(1000)).await.expect("room once the first are on their way");
        settle().await;
        // From here on nothing is read from the client: what moves is what the server takes of one buffer.
        for _ in 0..10 {
            sleep(59 * S).await;
            assert_eq!(server.recv(&mut [0; 50]).await.expect("alive"), 50);
        }
        settle().await;
        let (passed, error) = fails(copying).await;
        on_time(passed, 60 * S);
        let copied = error.copied().expect("a copy");
        assert_eq!((copied.a_to_b.bytes, copied.a_to_b.undelivered.len()), (1500, 500));
        assert!(copied.a_to_b.undelivered == pattern(1000)[500..], "in order, none lost");
        assert!(error.to_string().contains("its receiver took no more"), "{error}");
    });
}

#[test]
fn the_linger_counts_from_the_end_of_one_direction_and_then_from_each_byte_of_the_other() {
    on_virtual("linger", async |_| {
        // Shorter and longer than the idle timeout: it takes its place.
        for (idle, linger) in [(1000 * S, 30 * S), (20 * S, 30 * S)] {
            let options = unbounded().idle_timeout(idle).half_close_linger(linger);
            let (mut client, mut server, copying) = proxied(64, options);
            sleep(15 * S).await;
            client.end();
            for _ in 0..5 {
                sleep(linger - NS).await;
                server.send_all(b"y").await.expect("room");
                assert_eq!(client.recv(&mut [0; 8]).await.expect("alive"), 1);
            }
            let (passed, error) = fails(copying).await;
            on_time(passed, linger);
            let info = error.deadline().expect("a bound");
            assert_eq!((info.description(), info.budget()), (Some("half-close linger"), Some(linger)));
            let copied = error.copied().expect("a copy");
            assert_eq!((copied.a_to_b.end, copied.b_to_a.end), (FlowEnd::Ended, FlowEnd::Open));
            assert!(client.is_alone() && server.is_alone());
        }
    });
}

#[test]
fn d23_a_drip_extends_the_idle_timeout_but_no_deadline_and_is_too_slow_for_a_floor() {
    let drip = async |options: CopyOptions, rounds: usize| {
        let (mut client, mut server, copying) = proxied(64, options);
        let dripping = spawn(async move {
            for _ in 0..rounds {
                sleep(40 * MS).await;
                if client.send_all(b"d").await.is_err() || server.recv(&mut [0; 8]).await.is_err() {
                    break;
                }
            }
            server.end();
            client.end();
            (client, server)
        });
        let start = Instant::now();
        let result = copying.await.expect("no panic");
        let passed = start.elapsed();
        drop(dripping.await);
        (passed, result)
    };
    on_virtual("d23", async |_| {
        let (passed, result) = drip(unbounded().idle_timeout(100 * MS), 1000).await;
        on_time(passed, 1000 * 40 * MS);
        assert_eq!(result.map(|copied| copied.a_to_b.bytes).expect("the drip ended"), 1000);

        for absolute in [true, false] {
            let options = match absolute {
                true => unbounded().deadline(Instant::now() + 100 * MS),
                false => unbounded().total_timeout(100 * MS),
            };
            let (passed, result) = drip(options.idle_timeout(80 * MS), 1000).await;
            on_time(passed, 100 * MS);
            let error = result.expect_err("a deadline");
            assert_eq!((error.kind(), error.transferred()), (Kind::Timeout, 2));
        }

        let both = || unbounded().idle_timeout(100 * MS);
        let one_way = "from client to server ";
        for (options, which) in [
            (both().throughput(Throughput::per_second(500)), ""),
            (both().throughput_a_to_b(Throughput::per_second(500)), one_way),
        ] {
            let (passed, result) = drip(options, 1000).await;
            on_time(passed, 5 * S);
            let error = result.expect_err("too slow");
            let said = error.deadline().and_then(|info| info.description()).expect("which bound");
            let counted =
                ["124", "125"].map(|got| format!("{which}fewer than 500 B/s for 5 s (got {got})"));
            assert!(counted.iter().any(|expected| expected == said), "{said}");
        }
    });
}

#[test]
fn a_floor_asks_for_its_bytes_in_each_window_and_of_no_direction_that_has_ended() {
    on_virtual("floors", async |_| {
        let floor = Throughput::new(100, S, 2 * S);
        let (mut client, mut server, copying) = proxied(4096, unbounded().throughput_a_to_b(floor));
        let start = Instant::now();
        for _ in 0..20 {
            // Just enough, at the last moment of each window.
            sleep_until(Instant::now() + 2 * S - 2 * MS).await;
            client.send_all(&[0; 200]).await.expect("room");
            assert_eq!(server.recv(&mut [0; 4096]).await.expect("alive"), 200);
            sleep(2 * MS).await;
        }
        assert!(start.elapsed() >= 40 * S);
        client.end();
        assert_eq!(server.recv(&mut [0; 8]).await.expect("the end"), 0);
        sleep(1000 * S).await;
        server.send_all(b"late").await.expect("nothing is asked of an ended direction");
        server.end();
        assert_eq!(client.recv_all().await.expect("whole"), b"late");
        assert_eq!(copying.await.expect("no panic").expect("both ended").bytes(), 4004);

        // One byte too few in the third window.
        let (mut client, mut server, copying) = proxied(4096, unbounded().throughput(floor));
        let draining = spawn(async move { server.recv_all().await });
        let start = Instant::now();
        let feeding = spawn(async move {
            for bytes in [200, 5000, 199, 5000] {
                client.send_all(&vec![0; bytes]).await.expect("room");
                sleep(2 * S + MS).await;
            }
        });
        let error = copying.await.expect("no panic").expect_err("too slow");
        feeding.abort();
        draining.await.expect("no panic").expect("it ended");
        assert!(start.elapsed() >= 6 * S, "{:?}", start.elapsed());
        assert!(error.to_string().contains("fewer than 100 B/s for 2 s (got 199)"), "{error}");
    });
}

#[test]
fn a_deadline_that_has_passed_lets_nothing_move() {
    on_virtual("before it began", async |_| {
        for options in
            [unbounded().deadline(Instant::now() - S), unbounded().total_timeout(Duration::ZERO)]
        {
            let (mut client, proxy_client) = duplex(64);
            let (proxy_server, mut server) = duplex(64);
            client.send_all(b"here").await.expect("room");
            let (a, b) = (&mut { proxy_client }, &mut { proxy_server });
            let error = copy_bidirectional(&mut *a, &mut *b, options).await.expect_err("too late");
            assert!(error.deadline().is_some_and(|info| info.before_it_began()), "{error}");
            assert_eq!(a.recv(&mut [0; 8]).await.expect("untouched"), 4);
            drop(client);
            server.end();
        }
    });
}
