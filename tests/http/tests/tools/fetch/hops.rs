//! Redirects and retries: each hop a row of its own, all of them under one total.

use std::time::Duration;

use punctual_tests_http::peer::Peer;

use super::bodies::serving;
use super::{fetch, hops, names, ns};

/// Leads from `/` to `to`.
fn leading(to: String) -> Peer {
    Peer::start(move |_, connection| {
        connection.request()?;
        connection.send(format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ))
    })
}

#[test]
fn a_redirect_is_a_hop_with_rows_of_its_own() {
    let end = serving(b"there".to_vec());
    let start = leading(end.url("/end"));
    let ran = fetch(&["-L", "--json", &start.url("/")]);
    let fetched = ran.fetched();
    let all = hops(&fetched);
    assert_eq!((ran.code, all.len(), &fetched["status"]), (Some(0), 2, &200.into()), "{fetched}");
    assert_eq!((&all[0]["status"], &all[0]["url"]), (&302.into(), &start.url("/").into()));
    assert_eq!((&all[1]["status"], &all[1]["url"]), (&200.into(), &end.url("/end").into()));
    assert!(names(&all[0]).contains(&"connect") && names(&all[1]).contains(&"connect"), "{fetched}");
    let began = |hop: usize| ns(&all[hop], "began_ns");
    assert!(
        began(0) < began(1)
            && all[1]["phases"]
                .as_array()
                .expect("phases")
                .iter()
                .all(|row| ns(row, "began_ns") >= began(1))
    );

    let text = fetch(&["-L", &start.url("/")]);
    assert_eq!(text.text(), "there", "the body of the last hop alone");
    let heads: Vec<_> = text.stderr.lines().filter(|line| line.starts_with("GET ")).collect();
    assert!(
        heads[0].contains("→ 302 ") && heads[1].contains("→ 200 ") && heads.len() == 2,
        "{}",
        text.stderr
    );
}

#[test]
fn without_being_asked_no_redirect_is_followed() {
    let start = leading("http://127.0.0.1:1/".to_owned());
    let fetched = fetch(&["--json", &start.url("/")]).fetched();
    assert_eq!((&fetched["status"], hops(&fetched).len()), (&302.into(), 1), "{fetched}");
}

#[test]
fn redirects_without_end_are_ended_and_all_of_them_shown() {
    let circle = Peer::start(|_, connection| {
        loop {
            connection.request()?;
            connection.send("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n")?;
        }
    });
    let ran = fetch(&["-L", "--max-redirs", "4", "--json", &circle.url("/")]);
    let fetched = ran.fetched();
    assert_eq!((ran.code, hops(&fetched).len(), circle.requests().len()), (Some(1), 5, 5), "{fetched}");
    assert!(fetched["error"]["message"].as_str().expect("a sentence").contains("redirect"), "{fetched}");
}

#[test]
fn p16_redirects_share_one_total_and_the_hop_it_ended_is_marked() {
    let pause = Duration::from_millis(120);
    let slow = Peer::start(move |_, connection| {
        loop {
            connection.request()?;
            connection.pause(pause);
            connection.send("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n")?;
        }
    });
    let ran = fetch(&["-L", "-m", "300ms", "--json", &slow.url("/")]);
    let fetched = ran.fetched();
    assert!(ran.took >= Duration::from_millis(300), "early: {:?}", ran.took);
    assert_eq!(
        (ran.code, &fetched["error"]["deadline"]["whose"]),
        (Some(3), &"total".into()),
        "{fetched}"
    );
    let all = hops(&fetched);
    assert_eq!(all.len(), 3, "two pauses fit, and a part of the third: {fetched}");
    assert_eq!((&all[0]["reused"], &all[1]["reused"]), (&false.into(), &true.into()), "{fetched}");
    let last = all[2]["phases"].as_array().expect("phases").last().expect("rows");
    assert!(
        last["ending"].as_str().expect("an ending").starts_with("timeout-") && last["name"] == "wait",
        "{fetched}"
    );
    assert_eq!(ns(last, "left_ns"), 0);
}

#[test]
fn p14_a_retry_is_a_hop_with_rows_of_its_own() {
    // The first connection says goodbye by closing, when the second request is already on it.
    let peer = Peer::start(|number, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        match number {
            0 => connection.head().map(drop),
            _ => connection.ended(),
        }
    });
    let ran = fetch(&["--json", "--repeat", "2", &peer.url("/")]);
    let fetches = ran.fetches();
    let all = hops(&fetches[1]);
    assert_eq!((ran.code, all.len(), peer.connections()), (Some(0), 2, 2), "{fetches:#?}");
    assert_eq!(
        (&all[0]["reused"], &all[0]["status"]),
        (&true.into(), &serde_json::Value::Null),
        "{fetches:#?}"
    );
    assert_eq!((&all[1]["reused"], &all[1]["status"]), (&false.into(), &200.into()), "{fetches:#?}");
    let unfinished = all[0]["phases"].as_array().expect("phases").last().expect("rows");
    assert_ne!(unfinished["ending"], "done", "{fetches:#?}");
}
