//! Bodies, connections and exit codes: what goes where, and what it says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use punctual_tests_http::nginx::Nginx;
use punctual_tests_http::peer::Peer;
use punctual_tests_http::rig::skip;

use super::{fetch, hops, names, ns, phase, program, ran};

/// A path of this test's own, which is gone with it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("punctual-fetch-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers each request of a connection with these bytes.
pub(super) fn serving(body: Vec<u8>) -> Peer {
    Peer::start(move |_, connection| {
        loop {
            connection.request()?;
            connection
                .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-a: 1\r\n\r\n", body.len()))?;
            connection.send(&body)?;
        }
    })
}

pub(super) fn some_bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn a_big_body_arrives_in_its_file_byte_for_byte() {
    let bytes = some_bytes(20_000_000);
    let peer = serving(bytes.clone());
    let scratch = Scratch::new();
    let ours = scratch.file("ours");
    let ran = fetch(&[&peer.url("/big"), "-o", &ours]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(fs::read(&ours).expect("it is there") == bytes, "the bytes differ");
    assert!(ran.text().contains("→ 200 over HTTP/1.1, 20 MB"), "{}", ran.text());
    assert!(ran.stderr.is_empty(), "no bar where there is no terminal: {}", ran.stderr);
}

#[test]
fn a_body_in_a_pipe_is_alone_there_and_the_report_is_elsewhere() {
    let bytes = some_bytes(300_000);
    let peer = serving(bytes.clone());
    let ran = fetch(&[&peer.url("/")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout == bytes && ran.stderr.contains("→ 200 over HTTP/1.1, 300 kB"), "{}", ran.stderr);
    let ran = fetch(&[&peer.url("/"), "--json"]);
    assert_eq!((ns(&ran.fetched(), "body_bytes"), ran.stderr.as_str()), (300_000, ""));
    let ran = fetch(&[&peer.url("/"), "--json", "-o", "-"]);
    assert!(ran.stdout == bytes && ran.stderr.starts_with('{'), "{}", ran.stderr);
    let ran = fetch(&[&peer.url("/"), "-i"]);
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\nx-a: 1\r\n\r\n";
    assert!(ran.stdout.starts_with(head) && ran.stdout[head.len()..] == bytes);
    assert!(!ran.stderr.contains("x-a"), "once is enough: {}", ran.stderr);
    let ran = fetch(&[&peer.url("/"), "-i", "-o", "/dev/null"]);
    assert!(ran.text().contains("\n  x-a: 1\n"), "{}", ran.text());
}

#[test]
fn files_have_the_names_of_what_is_in_them() {
    let peer = serving(b"a page".to_vec());
    let scratch = Scratch::new();
    let urls = [peer.url("/one.txt?q=/no#f"), peer.url("/a/b/two.txt")];
    let mut command = Command::new(program());
    command.current_dir(&scratch.0).args(["-O", "--parallel", "2"]).args(&urls);
    let ran = ran(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let read =
        |name: &str| fs::read(scratch.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((read("one.txt"), read("two.txt")), (b"a page".to_vec(), b"a page".to_vec()));
    for nameless in ["/", "", "/..", "/a/"] {
        let ran = fetch(&["-O", &peer.url(nameless)]);
        assert_eq!(ran.code, Some(2), "{nameless}");
        assert!(ran.stderr.starts_with("fetch: -O: "), "{}", ran.stderr);
    }
}

#[test]
fn several_bodies_in_one_place_stand_there_in_order() {
    let peers = [serving(b"first ".to_vec()), serving(b"second".to_vec())];
    let scratch = Scratch::new();
    let file = scratch.file("both");
    fs::write(&file, "what was there before").expect("written");
    let urls = [peers[0].url("/"), peers[1].url("/")];
    let ran = fetch(&[&urls[0], &urls[1], "-o", &file, "--repeat", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&file).expect("text"), "first second");
    let ran = fetch(&[&urls[0], &urls[1], "-o", &file, "--parallel", "2"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn the_times_are_those_of_the_tests_own_clock() {
    let pause = Duration::from_millis(120);
    let pause_ns = pause.as_nanos() as u64;
    let peer = Peer::start(move |_, connection| {
        connection.request()?;
        connection.pause(pause);
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")?;
        connection.pause(pause);
        connection.send("cd")
    });
    let ran = fetch(&[&peer.url("/"), "--json"]);
    let fetched = ran.fetched();
    let hop = &hops(&fetched)[0];
    assert_eq!(names(hop), ["connect", "write", "wait", "body"]);
    assert!(ns(phase(hop, "wait"), "took_ns") >= pause_ns * 9 / 10, "{fetched}");
    assert!(ns(phase(hop, "body"), "took_ns") >= pause_ns * 9 / 10, "{fetched}");
    assert!(ns(&fetched, "took_ns") >= 2 * pause_ns, "it took less than the peer: {fetched}");
    assert!(ran.took.as_nanos() as u64 >= ns(&fetched, "took_ns"), "longer than it ran: {fetched}");
    let mut end = 0;
    for row in hop["phases"].as_array().expect("phases") {
        assert!(ns(row, "began_ns") >= end, "one after another: {fetched}");
        end = ns(row, "began_ns") + ns(row, "took_ns");
        assert_eq!(ns(row, "took_ns") + ns(row, "left_ns"), ns(row, "budget_ns"), "{fetched}");
        assert_eq!(row["ending"], "done");
    }
    assert_eq!(ns(&fetched, "took_ns"), end, "{fetched}");

    // curl sees the same.
    let format = "%{time_starttransfer} %{time_total}";
    let Ok(curl) =
        Command::new("curl").args(["-s", "-o", "/dev/null", "-w", format, &peer.url("/")]).output()
    else {
        skip("needs curl");
        return;
    };
    let times = String::from_utf8(curl.stdout).expect("text");
    let times: Vec<f64> = times.split(' ').map(|time| time.parse().expect("a number")).collect();
    let ours = (ns(phase(hop, "body"), "began_ns") as f64 / 1e9, ns(&fetched, "took_ns") as f64 / 1e9);
    assert!(
        times[0] >= pause.as_secs_f64() * 0.9 && times[1] >= 2.0 * pause.as_secs_f64() * 0.9,
        "{times:?}"
    );
    for (ours, theirs) in [(ours.0, times[0]), (ours.1, times[1])] {
        assert!(ours < 4.0 * theirs && theirs < 4.0 * ours, "curl {times:?}, {fetched}");
    }
}

#[test]
fn p14_a_second_fetch_uses_the_connection_of_the_first() {
    let peer = serving(b"again".to_vec());
    let ran = fetch(&[&peer.url("/"), "--repeat", "3", "--json"]);
    let fetches = ran.fetches();
    assert_eq!((fetches.len(), peer.connections()), (3, 1), "{fetches:#?}");
    let hop = |index: usize| &hops(&fetches[index])[0];
    assert_eq!((&hop(0)["reused"], &hop(1)["reused"]), (&false.into(), &true.into()));
    assert!(!names(hop(1)).contains(&"connect") && names(hop(0)).contains(&"connect"), "{fetches:#?}");
    let text = fetch(&[&peer.url("/"), "--repeat", "2", "-o", "/dev/null"]);
    assert_eq!(text.text().matches("new connection").count(), 1, "{}", text.text());
    assert_eq!(text.text().matches("connection reused").count(), 1, "{}", text.text());
}

#[test]
fn fetches_at_once_are_at_once() {
    let pause = Duration::from_millis(200);
    let peer = Peer::start(move |_, connection| {
        connection.request()?;
        connection.pause(pause);
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let url = peer.url("/");
    let ran = fetch(&[&url, &url, &url, &url, "--parallel", "4", "--json"]);
    let fetches = ran.fetches();
    let times =
        |each: &serde_json::Value| (ns(each, "began_ns"), ns(each, "began_ns") + ns(each, "took_ns"));
    let first_end = fetches.iter().map(|each| times(each).1).min().expect("four");
    assert!(fetches.len() == 4 && fetches.iter().all(|each| times(each).0 < first_end), "{fetches:#?}");
}

#[test]
fn what_is_sent_is_what_was_asked_for() {
    let peer = serving(b"thanks".to_vec());
    let scratch = Scratch::new();
    let file = scratch.file("data");
    fs::write(&file, b"a\nb\0c").expect("written");
    let url = peer.url("/x");
    fetch(&[&url, "-X", "PUT", "-H", "X-Twice: 1", "-H", "x-twice: 2", "-d", &format!("@{file}")]);
    fetch(&[&url, "-d", "k=v", "-H", "content-type: text/plain"]);
    fetch(&[&url.replace("http://", "http://user:secret@"), "--json"]).fetched()["url"]
        .as_str()
        .filter(|shown| *shown == url)
        .expect("no report shows a password");
    let requests = peer.requests();
    assert_eq!((requests[0].method(), requests[0].body.as_slice()), ("PUT", b"a\nb\0c".as_slice()));
    assert_eq!(requests[0].head.to_lowercase().matches("x-twice: ").count(), 2, "{}", requests[0].head);
    assert_eq!(requests[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!((requests[1].method(), requests[1].header("content-type")), ("POST", Some("text/plain")));
    assert_eq!(requests[2].header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        format!("http://{}/", listener.local_addr().expect("its address"))
    };
    let ran = fetch(&[&gone]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("refused") && ran.stderr.contains("! connect "), "{}", ran.stderr);
    let short = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    });
    let ran = fetch(&[&short.url("/"), "-o", "/dev/null"]);
    assert_eq!(ran.code, Some(1), "a body that was cut off: {}", ran.text());
    let refused = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n")
    });
    assert_eq!(fetch(&[&refused.url("/")]).code, Some(0));
    let ran = fetch(&[&refused.url("/"), "--fail"]);
    assert_eq!((ran.code, ran.text()), (Some(4), "no\n"));
    let full = fetch(&[&refused.url("/"), "-o", "/dev/full"]);
    assert_eq!(full.code, Some(1), "{}", full.text());
    assert!(full.text().contains("No space left"), "{}", full.text());
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_in_one_line() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "URL"),
        (&["ftp://a/"], "http and https"),
        (&["http://"], "host"),
        (&["http://a:b:c/"], "port"),
        (&["a", "--max-time", "soon"], "soon"),
        (&["a", "-m", "0"], "no time"),
        (&["a", "--min-rate", "0"], "min-rate"),
        (&["a", "-H", "nonsense"], "nonsense"),
        (&["a", "-H", "x: \u{1}"], "header"),
        (&["a", "-d", "@/nonexistent"], "/nonexistent"),
        (&["a", "-o", "/nonexistent/file"], "/nonexistent/file"),
        (&["a", "--svg", "/nonexistent/file"], "/nonexistent/file"),
        (&["a", "-o", "x", "-O"], "--remote-name"),
        (&["a", "--http1", "--http2"], "--http2"),
        (&["a", "--max-redirs", "3"], "--location"),
        (&["a", "--cacert", "a", "--insecure"], "--insecure"),
        (&["a", "--parallel", "0"], "parallel"),
        (&["a", "--repeat", "0"], "repeat"),
    ];
    for (arguments, names) in cases {
        let ran = fetch(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(names), "{arguments:?} does not name {names:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.text());
    }
    assert!(!Path::new("x").exists(), "nothing is left behind");
}

#[test]
fn nginx_and_curl_agree_on_the_body() {
    let Some(nginx) = Nginx::start("") else { return };
    let bytes = some_bytes(20_000_000);
    nginx.serve_file("big", &bytes);
    let scratch = Scratch::new();
    let (ours, theirs) = (scratch.file("ours"), scratch.file("theirs"));
    let ran = fetch(&[&nginx.url("/big"), "-o", &ours]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let Ok(curl) = Command::new("curl").args(["-s", "-o", &theirs, &nginx.url("/big")]).status() else {
        skip("needs curl");
        return;
    };
    assert!(curl.success());
    let (ours, theirs) = (fs::read(&ours).expect("ours"), fs::read(&theirs).expect("curl's"));
    assert!(ours == bytes && theirs == bytes);
}
