//! Over TLS, with an authority of the test's own, and over HTTP/2.

use std::fs;
use std::process::Command;

use punctual_tests_http::nginx::Nginx;
use punctual_tests_http::rig::skip;
use serde_json::Value;

use super::bodies::{Scratch, some_bytes};
use super::{fetch, hops, names, ns, phase};

/// That of the authority that has issued nginx's.
fn certificate(nginx: &Nginx) -> String {
    nginx.directory.join("authority.pem").to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn over_tls_the_bytes_are_those_that_curl_gets_and_alpn_speaks_http_2() {
    let Some(nginx) = Nginx::start("") else { return };
    let bytes = some_bytes(20_000_000);
    nginx.serve_file("big", &bytes);
    let (scratch, cacert) = (Scratch::new(), certificate(&nginx));
    let url = nginx.secure_url("/big");
    for (option, version) in
        [(None, "HTTP/2"), (Some("--http1"), "HTTP/1.1"), (Some("--http2"), "HTTP/2")]
    {
        let ours = scratch.file("ours");
        let arguments = [url.as_str(), "--cacert", &cacert, "-o", &ours, "--json"];
        let ran = fetch(&arguments.into_iter().chain(option).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{} {}", ran.text(), ran.stderr);
        let fetched = ran.fetched();
        assert_eq!(
            (&fetched["version"], ns(&fetched, "body_bytes")),
            (&version.into(), 20_000_000),
            "{fetched}"
        );
        assert!(fs::read(&ours).expect("it is there") == bytes, "the bytes differ");
        let hop = &hops(&fetched)[0];
        assert_eq!(names(hop), ["resolve", "connect", "tls", "write", "wait", "body"], "{fetched}");
        let tls = phase(hop, "tls");
        assert!(
            ns(tls, "began_ns") >= ns(phase(hop, "connect"), "began_ns") && ns(tls, "took_ns") > 0,
            "{fetched}"
        );
    }
    let theirs = scratch.file("theirs");
    let curl =
        Command::new("curl").args(["-s", "--http2", "--cacert", &cacert, "-o", &theirs, &url]).status();
    match curl {
        Ok(status) => assert!(status.success() && fs::read(&theirs).expect("curl's") == bytes),
        Err(_) => skip("needs curl"),
    }
}

#[test]
fn fetches_at_once_share_one_connection_of_http_2() {
    let Some(nginx) = Nginx::start("add_header x-connection $connection;") else { return };
    nginx.serve_file("a", b"a");
    let (url, cacert) = (nginx.secure_url("/a"), certificate(&nginx));
    let ran = fetch(&[&url, &url, &url, &url, "--parallel", "4", "--cacert", &cacert, "--json"]);
    let fetches = ran.fetches();
    let connection = |fetched: &Value| {
        let headers = fetched["headers"].as_array().expect("headers");
        headers.iter().find(|header| header[0] == "x-connection").expect("nginx tells").clone()
    };
    assert!(ran.code == Some(0) && fetches.len() == 4, "{fetches:#?}");
    assert!(
        fetches.iter().all(|fetched| connection(fetched) == connection(&fetches[0])),
        "{fetches:#?}"
    );
    let made = fetches.iter().filter(|fetched| hops(fetched)[0]["reused"] == false);
    assert_eq!(made.count(), 1, "the others share it: {fetches:#?}");
}

#[test]
fn http_2_in_the_clear_is_spoken_if_asked_for() {
    let body = "clear";
    let peer = punctual_tests_http::peer::Peer::start(move |_, connection| {
        use punctual_tests_http::peer::http2::Http2;
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.respond(stream, body.as_bytes())?;
        http2.ended()
    });
    let ran = fetch(&[&peer.url("/"), "--http2"]);
    assert_eq!((ran.code, ran.text()), (Some(0), body), "{}", ran.stderr);
    assert!(ran.stderr.contains("→ 200 over HTTP/2, 5 bytes"), "{}", ran.stderr);
}

#[test]
fn l03_a_certificate_that_nobody_vouches_for_is_a_failure_of_the_handshake() {
    let Some(nginx) = Nginx::start("") else { return };
    nginx.serve_file("secret", b"secret");
    let url = nginx.secure_url("/secret");
    let ran = fetch(&[&url, "--json"]);
    let fetched = ran.fetched();
    assert_eq!((ran.code, &fetched["error"]["name"]), (Some(1), &"tls".into()), "{fetched}");
    let last = hops(&fetched)[0]["phases"].as_array().expect("phases").last().expect("rows").clone();
    assert_eq!((&last["name"], &last["ending"]), (&"tls".into(), &"failed".into()), "{fetched}");
    assert!(
        fetched["error"]["message"].as_str().expect("a sentence").contains("certificate"),
        "{fetched}"
    );
    let ran = fetch(&[&url, "--insecure"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "secret"), "{}", ran.stderr);
}

#[test]
fn an_authority_that_cannot_be_read_is_told_before_anything_is_sent() {
    let ran = fetch(&["https://localhost:1/", "--cacert", "/nonexistent.pem"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("fetch: ") && ran.stderr.contains("/nonexistent.pem"),
        "{}",
        ran.stderr
    );
}
