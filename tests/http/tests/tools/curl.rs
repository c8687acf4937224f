//! curl: methods, bodies, versions of HTTP, connections kept.

use std::fs;

use punctual_tests_http::rig::watchdog;
use std::process::Command;
use std::time::Duration;

use crate::rig::{Directory, Identity, Server, noise, run, text, tool};

const BUDGET: Duration = Duration::from_secs(15);

/// What is echoed.
const ECHOED: usize = 8 << 20;

fn curl() -> Option<Command> {
    let mut curl = tool("curl")?;
    curl.args(["--silent", "--show-error", "--max-time", "20"]);
    Some(curl)
}

/// curl's own words on an answer: status, version, bytes, connects.
const WORDS: [&str; 2] =
    ["--write-out", "%{http_code} HTTP/%{http_version} %{size_download} %{num_connects}\n"];

#[test]
fn p15_eight_megabytes_are_echoed_in_every_version() {
    let _watchdog = watchdog("echo", BUDGET);
    let (Some(_), directory, identity) = (curl(), Directory::new(), Identity::new()) else { return };
    let sent = noise(ECHOED);
    let (body, back) = (directory.put("sent", &sent), directory.put("back", ""));
    let limit = ["--max-body", "16777216"];
    let (plain, secure) = (Server::start(&limit), identity.server(&limit));
    let (url, secure_url) = (plain.url("/echo"), secure.secure_url("/echo"));
    let cases: [(&str, &[&str], &str); 5] = [
        ("1.1", &["--http1.1"], &url),
        // HTTP/1.0 has no chunks, and its body no 100-continue.
        ("1", &["--http1.0"], &url),
        ("2", &["--http2-prior-knowledge"], &url),
        ("2", &["--http2"], &secure_url),
        ("1.1", &["--http1.1"], &secure_url),
    ];
    for (version, choice, url) in cases {
        let mut curl = curl().expect("there");
        curl.args(choice).args(["--cacert", &identity.authority]);
        curl.args(["--data-binary", &format!("@{body}"), "--output", &back]).args(WORDS).arg(url);
        let said = text(&run(&mut curl));
        assert_eq!(said.trim(), format!("200 HTTP/{version} {ECHOED} 1"), "{url}");
        assert!(
            fs::read(&back).expect("what came back") == sent,
            "other bytes over {version} from {url}"
        );
    }
}

#[test]
fn p08_a_body_beyond_the_limit_is_refused() {
    let _watchdog = watchdog("a large body", BUDGET);
    let (Some(mut curl), directory) = (curl(), Directory::new()) else { return };
    let (body, server) = (directory.put("sent", noise(ECHOED)), Server::start::<&str>(&[]));
    curl.args(["--data-binary", &format!("@{body}"), "--output", "/dev/null"]).args(WORDS);
    let said = text(&run(curl.arg(server.url("/echo"))));
    assert!(said.contains("413"), "8 MiB are more than the 2 MiB of the default: {said}");
    assert!(server.is_prompt());
}

#[test]
fn p15_a_body_waits_for_100_continue() {
    let _watchdog = watchdog("100-continue", BUDGET);
    let Some(mut curl) = curl() else { return };
    let server = Server::start::<&str>(&[]);
    // Unless it is told to go on, it waits for longer than it may take in all.
    curl.args(["--verbose", "--header", "Expect: 100-continue", "--expect100-timeout", "60"]);
    let output = run(curl.args(["--data-binary", "punctual"]).arg(server.url("/echo")));
    let said = text(&output);
    assert!(said.contains("< HTTP/1.1 100 Continue"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout) == "punctual", "{said}");
}

#[test]
fn p07_a_connection_is_kept_and_used_again() {
    let _watchdog = watchdog("keep-alive", BUDGET);
    let identity = Identity::new();
    let (plain, secure) = (Server::start::<&str>(&[]), identity.server(&[]));
    let cases = [
        ("1.1", "--http1.1", plain.url("/hello")),
        // In the clear curl 7.88 uses no connection of HTTP/2 twice, whoever serves.
        ("2", "--http2", secure.secure_url("/hello")),
    ];
    for (version, choice, url) in cases {
        let Some(mut curl) = curl() else { return };
        curl.args([choice, "--cacert", &identity.authority]).args(WORDS).args([&url, &url, &url]);
        let said = text(&run(&mut curl));
        let answer = |connects| format!("hello\n200 HTTP/{version} 6 {connects}\n");
        assert_eq!(said, answer(1) + &answer(0) + &answer(0), "{url}");
    }
}

#[test]
fn methods_and_numbers_that_make_no_sense_are_refused() {
    let _watchdog = watchdog("methods", BUDGET);
    let server = Server::start::<&str>(&[]);
    let cases: [(&[&str], &str, &str); 7] = [
        (&["-X", "DELETE"], "/hello", "405"),
        (&[], "/echo", "405"),
        (&[], "/slow?ms=soon", "400"),
        (&[], "/drip?bytes=-1", "400"),
        (&["--head"], "/hello", "200"),
        (&["--head", "--http2-prior-knowledge"], "/hello", "200"),
        (&[], "/somewhere", "404"),
    ];
    for (choice, path, status) in cases {
        let Some(mut curl) = curl() else { return };
        curl.args(choice).args(["--output", "/dev/null"]).args(WORDS).arg(server.url(path));
        let said = text(&run(&mut curl));
        assert!(said.starts_with(status), "{choice:?} {path}: {said}");
    }
}
