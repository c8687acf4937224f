//! What is dropped, cancelled or fed with noise leaves nothing behind and ends in time.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use punctual::net::{Kind, Phase, TcpListener, TcpStream, duplex};
use punctual::tls::Acceptor;
use punctual::{Instant, Unbounded, scope, sleep, spawn, yield_now};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::{MS, assert_baseline, on_runtime, seeds};

use crate::rig::{in_memory, read_all, shaken, virtual_runtime};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

/// Both ends say something to each other and end it.
async fn conversation(authority: Authority, acceptor: Acceptor, capacity: usize) {
    let (client, server) = duplex(capacity);
    let accepting = spawn(async move {
        let stream = acceptor.accept(server).await?;
        let mut question = vec![0; 20_000];
        stream.read_exact(&mut question).await?;
        stream.write_all(&question).await?;
        stream.shutdown().await?;
        stream.read(&mut question).await?;
        Ok::<_, punctual::net::Error>(())
    });
    let stream = authority.connector().connect(client, "localhost").await.expect("a handshake");
    stream.write_all(&[3; 20_000]).await.expect("room");
    let (all, ended) = read_all(&stream).await;
    assert!(ended.is_ok() && all == [3; 20_000]);
    stream.close_in_order(Duration::from_secs(1)).await.expect("an end");
    accepting.await.expect("no panic").expect("no error");
}

#[test]
fn l09_dropped_at_any_await_it_leaves_nothing() {
    let mut polls = 0;
    loop {
        let runtime = virtual_runtime();
        let done = runtime.block_on(async {
            let authority = Authority::new();
            let acceptor = authority.localhost().acceptor();
            let mut whole = Box::pin(conversation(authority, acceptor, 300));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await;
                if poll.is_ready() {
                    return true;
                }
                yield_now().await;
            }
            false
        });
        assert_baseline(&runtime);
        if done {
            break;
        }
        // The first ones closely, then by steps.
        polls += 1 + polls / 16;
    }
    assert!(polls > 50, "there were {polls} awaits only");
}

#[test]
fn l09_a_scope_ends_whatever_is_under_way() {
    for (what, phase) in [
        ("shake", Phase::Tls),
        ("read", Phase::Read),
        ("write", Phase::Write),
        ("close", Phase::Shutdown),
    ] {
        let runtime = virtual_runtime();
        runtime.block_on(async {
            let seen = RefCell::new(None);
            let ended = scope("owner", Unbounded, async |scope| {
                let owner = scope.clone();
                drop(spawn(async move {
                    sleep(Duration::from_secs(1)).await;
                    owner.cancel("enough");
                }));
                let ended = match what {
                    "shake" => {
                        let (client, _silent) = duplex(1024);
                        Authority::new().connector().connect(client, "localhost").await.map(drop)
                    }
                    _ => {
                        let (client, _server) = in_memory(600).await;
                        match what {
                            "read" => client.read(&mut [0; 8]).await.map(drop),
                            "write" => client.write_all(&[1; 10_000]).await,
                            _ => client.close_in_order(Duration::from_secs(1000)).await.map(drop),
                        }
                    }
                };
                seen.replace(ended.err());
            });
            let _ = ended.await;
            let error = seen.take().expect("it was cancelled");
            assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, phase), "{error}");
        });
        assert_baseline(&runtime);
    }
}

#[test]
fn l09_a_cancelled_stream_says_so_in_each_operation() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (client, _server) = in_memory(600).await;
        client.cancel("enough");
        let read = client.read(&mut [0; 8]).await.expect_err("cancelled");
        let write = client.write_all(&[1; 8]).await.expect_err("cancelled");
        let end = client.shutdown().await.expect_err("cancelled");
        for (error, phase) in [(read, Phase::Read), (write, Phase::Write), (end, Phase::Shutdown)] {
            assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, phase), "{error}");
        }
    });
    assert_baseline(&runtime);
}

#[test]
fn l09_descriptors_come_back() {
    on_runtime("descriptors", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let before = descriptors();
        for round in 0..30_u64 {
            let client = TcpStream::connect(address).await.expect("a connection");
            let (server, _) = listener.accept().await.expect("a connection");
            if round % 3 == 0 {
                let (client, server) = shaken(&authority, &acceptor, client, server).await;
                let closing =
                    punctual::timeout(Duration::from_micros(round * 20), client.close_in_order(MS));
                let _ = closing.await;
                drop(server);
            } else {
                let shaking = authority.connector().connect(client, "localhost").timeout(2 * MS);
                let accepting = acceptor.accept(server).timeout(Duration::from_micros(round * 50));
                let accepting = spawn(accepting.run());
                let _ = shaking.await;
                let _ = accepting.await.expect("no panic");
            }
        }
        // Others in this process may open and close some meanwhile.
        assert!(descriptors() < before + 20, "{} of {before}", descriptors());
    });
}

#[test]
fn l05_noise_is_an_error_in_bounded_time() {
    for seed in seeds(&(0..40).collect::<Vec<_>>()) {
        let runtime = virtual_runtime();
        runtime.block_on(async {
            let mut random = Rng::with_seed(seed);
            let mut noise: Vec<u8> = (0..random.usize(1..3000)).map(|_| random.u8(..)).collect();
            if random.bool() {
                // Like a record, as far as it goes.
                let length = random.u16(..).to_be_bytes();
                let kind = 20 + random.u8(..5);
                noise.splice(..noise.len().min(5), [kind, 3, random.u8(..5), length[0], length[1]]);
            }
            let authority = Authority::new();
            let began = Instant::now();
            for is_client in [true, false] {
                let (ours, peer) = duplex(100_000);
                peer.write_all(&noise).await.expect("room");
                let error = match is_client {
                    true => authority.connector().connect(ours, "localhost").await.map(drop),
                    false => authority.localhost().acceptor().accept(ours).await.map(drop),
                };
                let error = error.expect_err("that was noise");
                assert!(matches!(error.kind(), Kind::Tls | Kind::Timeout), "seed {seed}: {error:?}");
                drop(peer);
            }
            assert!(Instant::now() <= began + Duration::from_secs(20), "seed {seed}");
            // And after a good handshake.
            let (client, server) = in_memory(100_000).await;
            server.get_ref().write_all(&noise).await.expect("room");
            client.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
            let error = client.read(&mut [0; 64]).await.expect_err("that was noise");
            assert!(matches!(error.kind(), Kind::Tls | Kind::Timeout), "seed {seed}: {error:?}");
            if error.kind() == Kind::Tls {
                let again = client.read(&mut [0; 64]).await.expect_err("for good");
                assert_eq!(again.kind(), Kind::Tls, "seed {seed}: {again:?}");
                let write = client.write(b"x").await.expect_err("for good");
                assert_eq!(
                    (write.kind(), write.phase()),
                    (Kind::Tls, Phase::Write),
                    "seed {seed}: {write:?}"
                );
            }
        });
        assert_baseline(&runtime);
    }
}

#[test]
fn l_polled_and_given_up_it_leaves_nothing() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (mut client, _server) = in_memory(600).await;
        client.set_timeout(Some(Duration::from_secs(5))).expect("set");
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 8];
        let mut polled = pin!(&mut client);
        assert!(futures_io::AsyncRead::poll_read(polled.as_mut(), &mut cx, &mut buffer).is_pending());
        let mut write = || futures_io::AsyncWrite::poll_write(polled.as_mut(), &mut cx, &[0; 100]);
        while let Poll::Ready(written) = write() {
            written.expect("room");
        }
        // Now the read has something to send as well.
        assert!(futures_io::AsyncRead::poll_read(polled.as_mut(), &mut cx, &mut buffer).is_pending());
    });
    assert_baseline(&runtime);
}
