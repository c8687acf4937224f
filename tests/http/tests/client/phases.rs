//! Each phase's stall ends at its own deadline, with its own name.

use std::time::Duration;

use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Phase};
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

const BOUND: Duration = Duration::from_millis(80);

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    let long = Duration::from_secs(8);
    Timeouts::new().connect(long).request_write(long).first_byte(long).body_idle(long).total(2 * long)
}

#[track_caller]
fn ended_by(error: &Error, phase: Phase, what: &str) {
    assert!(error.is_timeout() && error.phase() == phase, "{error}");
    let info = error.deadline().expect("a deadline");
    assert_eq!(info.budget(), Some(BOUND), "{error}");
    assert_eq!(info.description(), Some(what), "{error}");
    assert!(info.location().is_some_and(|at| at.file().ends_with("phases.rs")), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

fn ok(connection: &mut Connection) -> std::io::Result<()> {
    connection.request()?;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

#[test]
fn p01_header_stall_ends_at_first_byte_and_requests_before_and_after_are_fine() {
    let peer = Peer::start(|number, connection| match number {
        1 => {
            connection.request()?;
            connection.drip("HTTP/1.1 200 OK\r\nx: 0123456789012345678901234567890123456789", 1, 10 * MS)
        }
        _ => ok(connection),
    });
    on_runtime("p01", async |_| {
        let client = Client::new();
        for number in 0..3 {
            let began = now_ns();
            let timeouts = patient().first_byte(BOUND);
            let sent = client.get(peer.url("/")).timeouts(timeouts).send().await;
            if number == 1 {
                let error = sent.expect_err("the head never ends");
                assert_passed(began, BOUND);
                ended_by(&error, Phase::FirstByte, "first_byte timeout");
                assert!(error.diagnosis().is_some(), "{error}");
                println!("{error}");
            } else {
                assert_eq!(sent.expect("a response").text(10).await.expect("a body"), "ok");
            }
        }
        drop(client);
    });
}
