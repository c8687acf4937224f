//! A peer that stalls in each phase: the right row is marked, the right deadline told, and the exit status is that of a timeout.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use punctual_tests_http::peer::Peer;
use punctual_tests_http::rig::{MS, skip};
use serde_json::Value;

use super::{Ran, fetch, hops, names, ns, program, ran};

const BOUND: Duration = Duration::from_millis(150);
/// Of the bound, as an argument.
const BOUND_TEXT: &str = "150ms";

/// What a run under `--json`, and one without, say of a phase that `BOUND` has ended.
#[track_caller]
fn ended_in(name: &str, whose: &str, json: &Ran, text: &Ran) -> Value {
    let fetched = json.fetched();
    assert_eq!((json.code, text.code), (Some(3), Some(3)), "{fetched}\n{}", text.stderr);
    assert!(json.took >= BOUND && text.took >= BOUND, "early: {:?}, {:?}", json.took, text.took);
    assert_eq!(fetched["outcome"], "timed-out", "{fetched}");
    let last = hops(&fetched).last().expect("a hop");
    let rows = last["phases"].as_array().expect("phases");
    let (marked, before) = rows.split_last().expect("rows");
    assert_eq!(marked["name"], name, "{fetched}");
    assert!(marked["ending"].as_str().expect("an ending").starts_with("timeout-"), "{fetched}");
    assert!(
        before.iter().all(|row| row["ending"] == "done"
            || row["began_ns"] == marked["began_ns"]
            || name == "resolve"),
        "{fetched}"
    );
    let deadline = &fetched["error"]["deadline"];
    assert_eq!(deadline["whose"], whose, "{fetched}");
    let budget_ns = BOUND.as_nanos() as u64;
    if whose != "rate" {
        assert_eq!(ns(deadline, "budget_ns"), budget_ns, "{fetched}");
        assert!(ns(deadline, "elapsed_ns") >= budget_ns, "early: {fetched}");
    }
    assert!(ns(&fetched, "took_ns") <= json.took.as_nanos() as u64, "{fetched}");
    assert!(deadline["set_at"].as_str().expect("a place").starts_with("examples/fetch/"), "{fetched}");
    assert!(
        fetched["error"]["message"].as_str().expect("a sentence").contains(" timed out "),
        "{fetched}"
    );

    let lines: Vec<_> = text.text().lines().chain(text.stderr.lines()).collect();
    let marked: Vec<_> = lines.iter().filter(|line| line.starts_with('✗')).collect();
    let [row, verdict] = marked[..] else { panic!("the row and the verdict: {lines:#?}") };
    assert!(row.starts_with(&format!("✗ {name} ")), "{lines:#?}");
    assert!(
        verdict.starts_with(&format!("✗ {name} was ended by ")) && verdict.ends_with(" late"),
        "{lines:#?}"
    );
    let sentence: String =
        lines.iter().rev().take_while(|line| !line.starts_with('✗')).map(|line| line.trim()).collect();
    assert!(
        sentence.contains("timedout") || lines.iter().any(|line| line.contains(" timed out ")),
        "{lines:#?}"
    );
    fetched
}

/// With `--json`, and without; neither keeps the body.
fn both(arguments: &[&str]) -> (Ran, Ran) {
    (fetch(&[arguments, &["--json"]].concat()), fetch(&[arguments, &["-o", "/dev/null"]].concat()))
}

#[test]
fn p01_a_stalled_head_is_told_as_wait() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.ended()
    });
    let (json, text) = both(&[&peer.url("/"), "--first-byte-timeout", BOUND_TEXT]);
    let fetched = ended_in("wait", "own", &json, &text);
    assert_eq!(names(&hops(&fetched)[0]), ["connect", "write", "wait"]);
    let wait = super::phase(&hops(&fetched)[0], "wait");
    assert_eq!((ns(wait, "budget_ns"), ns(wait, "left_ns")), (BOUND.as_nanos() as u64, 0));
    assert!(ns(wait, "took_ns") >= BOUND.as_nanos() as u64, "early: {fetched}");
    let diagnosis = fetched["error"]["diagnosis"].as_str().expect("a diagnosis");
    assert!(diagnosis.contains("silent"), "{diagnosis}");
    let said = text.text().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("silent for") && said.contains(" 150 ms none "), "{said}");
}

#[test]
fn p05_a_stalled_body_is_told_as_idle() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")?;
        connection.ended()
    });
    let (json, text) = both(&[&peer.url("/"), "--idle-timeout", BOUND_TEXT]);
    let fetched = ended_in("body", "idle", &json, &text);
    assert_eq!((&fetched["status"], ns(&fetched, "body_bytes")), (&200.into(), 5), "{fetched}");
}

#[test]
fn p05_the_deadline_of_the_whole_is_told_as_such_in_the_phase_it_ended() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")?;
        connection.ended()
    });
    let (json, text) = both(&[&peer.url("/"), "-m", BOUND_TEXT]);
    let fetched = ended_in("body", "total", &json, &text);
    assert_eq!((ns(&fetched, "budget_ns"), ns(&fetched, "left_ns")), (BOUND.as_nanos() as u64, 0));
    let said = text.text();
    assert!(said.contains("body was ended by the deadline of the whole of 150 ms, "), "{said}");
}

#[test]
fn p03_a_trickle_below_the_minimum_rate_is_told_as_rate() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
        connection.drip([b'x'; 4000], 1, 20 * MS)
    });
    let (json, text) = std::thread::scope(|scope| {
        let json = scope.spawn(|| fetch(&[&peer.url("/"), "--json", "--min-rate", "1000"]));
        let text = fetch(&[&peer.url("/"), "-o", "/dev/null", "--min-rate", "1000"]);
        (json.join().expect("it ran"), text)
    });
    let fetched = ended_in("body", "rate", &json, &text);
    assert!(ns(&fetched, "body_bytes") > 0, "{fetched}");
}

#[test]
fn l01_a_stalled_handshake_is_told_as_tls() {
    let peer = Peer::start(|_, connection| connection.ended());
    let url = format!("https://{}/", peer.address);
    let (json, text) = both(&[&url, "--tls-timeout", BOUND_TEXT]);
    let fetched = ended_in("tls", "own", &json, &text);
    assert_eq!(names(&hops(&fetched)[0]), ["connect", "tls"]);
}

#[test]
fn p04_a_request_that_nobody_reads_is_told_as_write() {
    let peer = Peer::start(|_, connection| {
        connection.head()?;
        connection.pause(Duration::from_secs(2));
        Ok(())
    });
    let body = std::env::temp_dir().join(format!("punctual-fetch-body-{}", std::process::id()));
    std::fs::write(&body, vec![b'x'; 16 << 20]).expect("written");
    let data = format!("@{}", body.display());
    let (json, text) = both(&[&peer.url("/"), "-d", &data, "--write-timeout", BOUND_TEXT]);
    std::fs::remove_file(&body).expect("removed");
    let fetched = ended_in("write", "own", &json, &text);
    assert_eq!(hops(&fetched)[0]["method"], "POST");
    let diagnosis = fetched["error"]["diagnosis"].as_str().expect("a diagnosis");
    assert!(diagnosis.contains("window"), "{diagnosis}");
}

#[test]
fn a_connect_that_nobody_accepts_is_told_as_connect() {
    // Its queue holds one connection, which nobody accepts: the next SYN is not answered.
    let deaf =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    deaf.listen(0).expect("listens");
    let deaf = TcpListener::from(deaf);
    let address = deaf.local_addr().expect("its address");
    let _filler = std::net::TcpStream::connect(address).expect("one fits");
    let (json, text) = both(&[&format!("http://{address}/"), "--connect-timeout", BOUND_TEXT]);
    let fetched = ended_in("connect", "own", &json, &text);
    assert_eq!(names(&hops(&fetched)[0]), ["connect"]);
    assert!(fetched["status"].is_null() && hops(&fetched)[0]["peer"].is_null(), "{fetched}");
    let diagnosis = fetched["error"]["diagnosis"].as_str().expect("a diagnosis");
    assert!(diagnosis.contains("no SYN-ACK"), "{diagnosis}");
}

/// In a namespace of its own, where the only name server takes questions and gives no answer.
#[test]
fn a_name_server_that_does_not_answer_is_told_as_resolve() {
    let conf = std::env::temp_dir().join(format!("punctual-fetch-resolv-{}", std::process::id()));
    std::fs::write(&conf, "nameserver 127.0.0.1\n").expect("written");
    let script = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && nft add table inet f && \
                  nft 'add chain inet f in { type filter hook input priority 0; }' && nft add rule inet f in udp dport 53 drop && \
                  shift && exec \"$@\"";
    let within = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "sh", "-c", script, "sh"]).arg(&conf).arg(program()).args(arguments);
        ran(&mut command)
    };
    let arguments = ["http://a.test.example/", "--resolve-timeout", BOUND_TEXT, "--json"];
    let json = within(&arguments);
    if json.stdout.is_empty() {
        skip(&format!("needs root, unshare, ip and nft: {}", json.stderr.trim()));
        return;
    }
    let text = within(&[&arguments[..3], &["-o", "/dev/null"]].concat());
    std::fs::remove_file(&conf).expect("removed");
    let fetched = ended_in("resolve", "own", &json, &text);
    assert_eq!(names(&hops(&fetched)[0]), ["resolve"]);
}
