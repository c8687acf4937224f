//! An endpoint that is none: it says what a test wants said.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

/// What is said to a request.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    /// A state, each a second later than the one before, with 50 turns more.
    States,
    /// This, and nothing more.
    Raw(&'static str),
    /// Nothing. The connection stays.
    Nothing,
    /// A state to the first few requests, and nothing from then on.
    StatesThenNothing(u64),
}

/// Listens on a port of its own for as long as the process runs.
pub(crate) fn listen(says: Says) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let asked = AtomicU64::new(0);
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let request = read_request(&stream);
            let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
            let answer = match says {
                Says::States => ok(&state(number)),
                Says::StatesThenNothing(most) if number <= most => ok(&state(number)),
                Says::Raw(text) => text.to_owned(),
                Says::Nothing | Says::StatesThenNothing(_) => {
                    kept.push(stream);
                    continue;
                }
            };
            assert!(request.starts_with("GET /debug/state HTTP/1.1"), "{request}");
            // One who has seen enough closes early.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn read_request(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn state(number: u64) -> String {
    let late = json!({"count": number, "p50_ns": 57_343, "p99_ns": 57_343, "max_ns": 57_000, "mean_ns": 57_000,
        "buckets_ns": [[57_343, number]]});
    json!({
        "version": 1, "taken_ns": 1_000_000_000 * number, "process_id": 4321, "process_name": "fake\u{1b}[2J",
        "counters": {"turns": 50 * number, "live_tasks": 12},
        "drift": {"total": late},
        "blame": {"stalls": 1, "worst": [{"name": "hog", "location": "src/hog.rs:1:2", "held_ns": 50_000_000}]},
        "something": "new",
    })
    .to_string()
}
