//! openssl s_client: versions, protocols, and a handshake that goes nowhere.

use std::io::{ErrorKind, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use punctual_tests_http::rig::watchdog;

use crate::rig::{Identity, Server, text, tool};

const BUDGET: Duration = Duration::from_secs(15);

/// What `openssl s_client` says, after it has sent `request`.
fn s_client(server: &Server, identity: &Identity, choice: &[&str], request: &str) -> Option<String> {
    let mut openssl = tool("openssl")?;
    openssl.args(["s_client", "-connect", &server.address.to_string(), "-servername", "localhost"]);
    openssl.args(["-CAfile", &identity.authority, "-verify_return_error", "-ign_eof"]).args(choice);
    let openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = openssl.spawn().expect("openssl starts");
    let mut input = running.stdin.take().expect("piped");
    // It may have ended already.
    let _ = input.write_all(request.as_bytes());
    let output = running.wait_with_output().expect("it ends");
    drop(input);
    Some(text(&output))
}

const REQUEST: &str = "GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn l_both_versions_of_tls_are_spoken_and_older_ones_are_not() {
    let _watchdog = watchdog("versions of TLS", BUDGET);
    let identity = Identity::new();
    let server = identity.server(&[]);
    for (choice, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let Some(said) = s_client(&server, &identity, &[choice, "-alpn", "http/1.1"], REQUEST) else {
            return;
        };
        assert!(said.contains(version) && said.contains("Verification: OK"), "{said}");
        assert!(said.contains("ALPN protocol: http/1.1") && said.contains("hello\n"), "{said}");
        // Closed as TLS closes, which openssl would call an unexpected end otherwise.
        assert!(!said.contains("unexpected eof"), "{said}");
    }
    for choice in ["-tls1", "-tls1_1"] {
        let older = [choice, "-cipher", "ALL:@SECLEVEL=0"];
        let Some(said) = s_client(&server, &identity, &older, REQUEST) else { return };
        assert!(!said.contains("hello\n") && said.contains("alert"), "{choice}: {said}");
    }
}

#[test]
fn l_a_protocol_that_is_not_spoken_is_refused_in_the_handshake() {
    let _watchdog = watchdog("ALPN", BUDGET);
    let identity = Identity::new();
    let server = identity.server(&[]);
    let Some(said) = s_client(&server, &identity, &["-alpn", "gopher"], REQUEST) else { return };
    assert!(said.contains("no application protocol") && !said.contains("hello\n"), "{said}");
    let Some(said) = s_client(&server, &identity, &["-alpn", "h2,http/1.1"], "") else { return };
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    // None at all is HTTP/1.1.
    let Some(said) = s_client(&server, &identity, &[], REQUEST) else { return };
    assert!(said.contains("No ALPN negotiated") && said.contains("hello\n"), "{said}");
}

/// L01: neither silence nor half a hello holds a place for longer than the handshake may take.
#[test]
fn l01_a_stalled_handshake_is_ended_and_nobody_waits_for_it() {
    let _watchdog = watchdog("stalled handshakes", BUDGET);
    let identity = Identity::new();
    // Time enough for openssl to start on a busy machine.
    let limit = Duration::from_secs(5);
    let server = identity.server(&["--handshake", "5s"]);
    let began = Instant::now();
    let mut stalled: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for half in &mut stalled[10..] {
        // The beginning of a ClientHello of 512 bytes.
        half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).expect("sent");
    }
    let Some(said) = s_client(&server, &identity, &["-alpn", "http/1.1"], REQUEST) else { return };
    assert!(said.contains("hello\n"), "{said}");
    assert!(began.elapsed() < limit, "it waited for those that stall: {:?}", began.elapsed());
    for mut stream in stalled {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(began.elapsed() >= limit, "early: {:?}", began.elapsed());
    }
    assert!(began.elapsed() < 4 * limit, "{:?}", began.elapsed());
}
