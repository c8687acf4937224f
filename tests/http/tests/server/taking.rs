//! Clients of HTTP/2 that take their time to take what they are sent: as long as they take something they are borne with, and
//! what is on its way to them is under way.

use std::convert::Infallible;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use punctual::http::{Body, Limits, ServerTimeouts, service_fn};
use punctual_tests_http::peer::http2::{DATA, Frame, PREFACE, RST_STREAM, WINDOW_UPDATE};

use crate::rig::{MS, Raw, Served, serve};

/// More than a client's first window, in one piece.
const LARGE: usize = 256 * 1024;
const SHORT: Duration = Duration::from_millis(300);

async fn handler(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let large = request.uri().path() == "/l";
    Ok(Response::new("x".repeat(if large { LARGE } else { 1 })))
}

fn run(
    what: &'static str,
    change: impl FnOnce(&mut ServerTimeouts),
    clients: impl FnOnce(SocketAddr) + Send + 'static,
) -> Served {
    let mut timeouts = ServerTimeouts::default();
    change(&mut timeouts);
    serve(what, timeouts, Limits::default(), || service_fn(handler), clients)
}

fn ask(client: &mut Raw, stream: u32, path: &str) {
    let mut block = vec![0x82, 0x86, 0x01, 0x01, b'a', 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    client.say(Frame::new(0x1, 0x5, stream, block).encoded());
}

fn begin(address: SocketAddr) -> Raw {
    let mut client = Raw::connect(address);
    let settings = [Frame::new(0x4, 0, 0, []).encoded(), Frame::new(0x4, 1, 0, []).encoded()];
    client.say(PREFACE).say(settings.concat());
    // Of the connection as a whole, all may come.
    let room = Frame::new(WINDOW_UPDATE, 0, 0, (1_u32 << 24).to_be_bytes()).encoded();
    client.say(room);
    client
}

/// Kind, stream and length of each whole frame that comes until it is quiet for so long, or the end; whether that has come.
fn taken(client: &mut Raw, rest: &mut Vec<u8>, quiet: Duration) -> (Vec<(u8, u32, usize)>, bool) {
    client.stream.set_read_timeout(Some(quiet)).expect("a timeout");
    let (mut room, mut ended) = ([0; 16 * 1024], false);
    loop {
        match client.stream.read(&mut room) {
            Ok(0) => ended = true,
            Ok(read) => {
                rest.extend_from_slice(&room[..read]);
                continue;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => ended = true,
        }
        break;
    }
    let mut frames = Vec::new();
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest.len() < 9 + length {
            break;
        }
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        frames.push((rest[3], stream, length));
        rest.drain(..9 + length);
    }
    (frames, ended)
}

fn data(frames: &[(u8, u32, usize)]) -> usize {
    frames.iter().filter(|frame| frame.0 == DATA && frame.1 == 1).map(|frame| frame.2).sum()
}

#[test]
fn p04_a_client_that_takes_its_time_is_not_idle_and_gets_all_of_one_large_piece() {
    let change = |t: &mut ServerTimeouts| (t.keep_alive, t.write_stall) = (SHORT, SHORT);
    let served = run("taking", change, |address| {
        let mut client = begin(address);
        ask(&mut client, 1, "/l");
        let (mut rest, mut got) = (Vec::new(), 0);
        while got < LARGE {
            let (frames, ended) = taken(&mut client, &mut rest, 30 * MS);
            got += data(&frames);
            assert!(!ended || got == LARGE, "closed at {got} bytes, {:?}: {frames:?}", client.age());
            // More than a piece each time, and far longer than any of the deadlines in all.
            client.say(Frame::new(WINDOW_UPDATE, 0, 1, 6_000_u32.to_be_bytes()).encoded());
        }
        assert!(client.age() > 2 * SHORT, "too fast to tell: {:?}", client.age());
    });
    assert_eq!(served.timeouts("response-write"), 0, "{:?}", served.phases);
}

#[test]
fn p04_one_large_piece_that_is_not_taken_is_reset_though_other_requests_go_on() {
    let served = run(
        "not taken",
        |t| t.write_stall = SHORT,
        |address| {
            let mut client = begin(address);
            ask(&mut client, 1, "/l");
            let (mut rest, mut stream) = (Vec::new(), 3);
            loop {
                let (frames, ended) = taken(&mut client, &mut rest, 20 * MS);
                assert!(!ended, "closed");
                if frames.iter().any(|frame| (frame.0, frame.1) == (RST_STREAM, 1)) {
                    break;
                }
                assert!(client.age() < 10 * SHORT, "it is kept: {:?}", client.age());
                ask(&mut client, stream, "/s");
                stream += 2;
            }
            client.assert_older_than(SHORT);
        },
    );
    assert_eq!(served.timeouts("response-write"), 1, "{:?}", served.phases);
}
