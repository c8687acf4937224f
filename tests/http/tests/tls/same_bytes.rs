//! The same bytes come out as went in, whatever pieces they are cut into on the way, against plain rustls on either side.

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;
use punctual::net::duplex;
use punctual::spawn;
use punctual::tls::TlsStream;
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::{on_runtime, seeds};

use crate::raw::Raw;
use crate::rig::transport::Memory;

fn bytes(random: &mut Rng, most: usize) -> Vec<u8> {
    (0..random.usize(..most)).map(|_| random.u8(..)).collect()
}

/// Writes `all` in random pieces by every way there is.
async fn write_in_pieces(stream: &TlsStream<Memory>, all: &[u8], random: &mut Rng) {
    let mut rest = all;
    while !rest.is_empty() {
        let some = random.usize(1..=rest.len().min(40_000));
        let written = match random.u8(..4) {
            0 => stream.write(&rest[..some]).await.expect("room"),
            1 => {
                stream.write_all(&rest[..some]).await.expect("room");
                some
            }
            2 => {
                let (front, back) = rest[..some].split_at(random.usize(..=some));
                let slices = [front, back].map(std::io::IoSlice::new);
                stream.write_vectored(&slices).await.expect("room")
            }
            _ => {
                stream.flush().await.expect("room");
                stream.write(&rest[..some]).await.expect("room")
            }
        };
        assert!(0 < written && written <= some);
        rest = &rest[written..];
    }
    stream.shutdown().await.expect("an end");
}

/// Reads until the end in random pieces, by every way there is.
async fn read_in_pieces(stream: &TlsStream<Memory>, random: &mut Rng, expected: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut buffer = vec![0; random.usize(1..40_000)];
        let read = if random.bool() && all.len() + buffer.len() <= expected {
            stream.read_exact(&mut buffer).await.expect("as much as that");
            buffer.len()
        } else {
            stream.read(&mut buffer).await.expect("a clean end")
        };
        if read == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..read]);
    }
}

async fn once(seed: u64, ours_is_the_client: bool) {
    let mut random = Rng::with_seed(seed);
    let capacity = match random.u8(..3) {
        0 => random.usize(1..100),
        1 => random.usize(100..5_000),
        _ => random.usize(5_000..100_000),
    };
    let authority = Authority::new();
    let acceptor = authority.localhost().acceptor();
    let (ours, theirs) = duplex(capacity);
    let (there, back) = (bytes(&mut random, 200_000), bytes(&mut random, 200_000));
    let pieces = Rc::new(RefCell::new(random.fork()));
    let sizes = pieces.clone();
    let (expected, answer) = (there.clone(), back.clone());
    let peer = spawn({
        let mut raw = match ours_is_the_client {
            true => Raw::server(theirs, &acceptor),
            false => Raw::client(theirs, &authority),
        };
        raw.piece = Box::new(move || sizes.borrow_mut().usize(1..20_000));
        async move {
            raw.shake().await.expect("a handshake");
            let (all, clean) = raw.recv_all().await.expect("no error");
            assert!(clean, "close_notify");
            assert_eq!(all.len(), expected.len());
            assert!(all == expected, "what arrived is not what was sent");
            for chunk in answer.chunks(16_000) {
                let records = raw.sealed(chunk);
                raw.send(&records).await.expect("room");
            }
            raw.tls.send_close_notify();
            raw.flush().await.expect("room");
            raw.socket
        }
    });
    let stream = match ours_is_the_client {
        true => authority.connector().connect(ours, "localhost").await.expect("a handshake"),
        false => acceptor.accept(ours).await.expect("a handshake"),
    };
    write_in_pieces(&stream, &there, &mut random).await;
    let came = read_in_pieces(&stream, &mut random, back.len()).await;
    assert!(came == back, "what came is not what was sent: {} of {} bytes", came.len(), back.len());
    drop(peer.await.expect("no panic"));
}

#[test]
fn l_the_same_bytes_come_out_against_plain_rustls() {
    for seed in seeds(&(0..24).collect::<Vec<_>>()) {
        println!("seed {seed}");
        on_runtime("the same bytes", async |_| {
            once(seed, true).await;
            once(seed, false).await;
        });
    }
}
