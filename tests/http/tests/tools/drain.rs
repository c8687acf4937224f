//! The end of the server: what it has begun is finished, by a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use punctual_tests_http::rig::watchdog;
use rustix::process::Signal;

use crate::rig::{Server, run, text, tool};

const BUDGET: Duration = Duration::from_secs(15);

/// A request whose answer has begun: its headers are there.
fn begun(server: &Server, path: &str) -> (TcpStream, String) {
    let mut stream = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a header");
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).expect("a header"))
}

/// P17, on one core and on two: SIGTERM lets what was begun finish, closes what is idle, and says so.
#[test]
fn p17_sigterm_loses_no_answer_that_was_begun() {
    for cores in ["1", "2"] {
        let _watchdog = watchdog("a drain", BUDGET);
        let server = Server::start(&["--cores", cores, "--drain", "20s"]);
        let mut under_way: Vec<_> = (0..16).map(|_| begun(&server, "/drip?bytes=8&ms=100").0).collect();
        let mut idle: Vec<_> = (0..4).map(|_| begun(&server, "/drip?bytes=0").0).collect();
        let address = server.address;
        server.signal(Signal::TERM);
        for stream in &mut idle {
            assert_eq!(stream.read(&mut [0]).expect("closed, not reset"), 0);
        }
        for stream in &mut under_way {
            let mut rest = String::new();
            stream.read_to_string(&mut rest).expect("all of it");
            assert_eq!(rest, "........");
        }
        let refused = TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let (success, said) = server.ended();
        assert!(success, "{said:?}");
        assert_eq!(said.len().to_string(), cores, "a line for each core: {said:?}");
        let sum = |word: &str| -> usize {
            let count = |line: &String| {
                let words: Vec<_> = line.split([' ', ',']).collect();
                let place = words.iter().position(|found| *found == word)?;
                words.get(place.checked_sub(1)?)?.parse::<usize>().ok()
            };
            said.iter().filter_map(count).sum()
        };
        assert_eq!((sum("idle"), sum("finished"), sum("cut")), (4, 16, 0), "{said:?}");
    }
}

/// P17: what does not finish in time is cut, and a second signal cuts at once.
#[test]
fn p17_what_does_not_finish_is_cut() {
    let _watchdog = watchdog("a cut", BUDGET);
    let server = Server::start(&["--drain", "700ms"]);
    let (mut slow, _) = begun(&server, "/drip?bytes=10000&ms=50");
    let began = Instant::now();
    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    let (success, said) = server.ended();
    assert!(success && said == ["core 0 drained: 0 idle, 0 finished, 1 cut"], "{said:?}");

    let server = Server::start(&["--drain", "1h"]);
    let (mut slow, _) = begun(&server, "/drip?bytes=10000&ms=50");
    server.signal(Signal::INT);
    // What comes now shows that the first signal has let it go on.
    slow.read_exact(&mut [0; 4]).expect("some more");
    server.signal(Signal::INT);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let (_, said) = server.ended();
    assert_eq!(said.len(), 1, "{said:?}");
}

/// With wrk at work nothing is answered wrongly. A connection that is idle in our eyes is closed, and the request that
/// was on its way to it is lost, as with any server of HTTP/1.1 (RFC 9112, section 9.5): at most one a connection.
#[test]
fn p17_sigterm_while_wrk_is_at_work() {
    let _watchdog = watchdog("a drain under wrk", BUDGET);
    let Some(mut wrk) = tool("wrk") else { return };
    let server = Server::start(&["--cores", "2", "--drain", "5s"]);
    let url = server.url("/slow?ms=20");
    let wrk = std::thread::spawn(move || text(&run(wrk.args(["-t2", "-c32", "-d3s"]).arg(url))));
    // It is at work when this has been answered a few times.
    (0..3).for_each(|_| assert!(begun(&server, "/slow?ms=200").1.starts_with("HTTP/1.1 200")));
    server.signal(Signal::TERM);
    let (success, said) = server.ended();
    assert!(success && said.iter().all(|line| line.ends_with(" 0 cut")), "{said:?}");
    let said = wrk.join().expect("wrk ends");
    eprintln!("{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
    let errors = said.lines().find_map(|line| line.trim().strip_prefix("Socket errors: "));
    let count = |kind: &str| -> usize {
        let mut errors = errors.into_iter().flat_map(|errors| errors.split(", "));
        errors.find_map(|error| error.strip_prefix(kind)?.trim().parse().ok()).unwrap_or(0)
    };
    assert!(count("read") <= 32 && count("timeout") == 0, "{said}");
}
