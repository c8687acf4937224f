//! What it looks like: on a terminal, in a picture, and when somebody else has a say in it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use punctual_tests_http::peer::Peer;
use punctual_tests_http::rig::{MS, skip};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Ran, fetch, hops, program, ran};

/// On a terminal of its own, 80 characters wide; both streams are that terminal. Nothing if there is no `script`.
fn on_terminal(arguments: &[&str], environment: &[(&str, &str)]) -> Option<Ran> {
    let quoted: Vec<_> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let line = format!("stty cols 80 rows 24; exec {} {}", program().display(), quoted.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).envs(environment.iter().copied());
    if Command::new("script").arg("--version").output().is_err() {
        skip("needs script (Debian: bsdutils)");
        return None;
    }
    Some(ran(&mut command))
}

/// The text without its colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        plain += &rest[..at];
        let end = rest[at + 2..]
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(rest.len(), |end| at + 3 + end);
        rest = &rest[end..];
    }
    plain + rest
}

fn hostile() -> Peer {
    Peer::start(|_, connection| {
        connection.request()?;
        let mut head =
            b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-evil: \xc2\x9b31mred\xe2\x80\xae\t\xff".to_vec();
        head.extend_from_slice(b"\r\ncontent-length: 2\r\n\r\nok");
        connection.send(head)
    })
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted_and_fits() {
    let peer = hostile();
    let long = peer.url(&format!("/{}", "long/".repeat(60)));
    let Some(coloured) = on_terminal(&[&long, "-i"], &[]) else { return };
    let shown = coloured.text();
    assert_eq!(coloured.code, Some(0), "{shown}");
    assert!(shown.contains("\x1b[1m") && shown.contains("\x1b[32m"), "{shown:?}");
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(&[&long, "-i"], &[environment]).expect("a terminal");
        let shown = plain.text();
        assert!(shown.contains("→ 200") && !shown.contains("\x1b["), "{environment:?}: {shown:?}");
    }
    let plain = without_colours(shown);
    for line in plain.lines() {
        assert!(line.chars().count() <= 80, "{} characters: {line}", line.chars().count());
    }
    assert!(plain.contains('█'), "{plain}");
}

#[test]
fn without_colours_there_is_no_escape_at_all() {
    let peer = hostile();
    let mut command = Command::new(program());
    let ran = ran(command.args([&peer.url("/"), "-i", "-o", "/dev/null"]));
    assert!(!ran.text().contains('\x1b'), "{:?}", ran.text());
    let Some(plain) = on_terminal(&[&peer.url("/")], &[("NO_COLOR", "1")]) else { return };
    assert!(plain.text().contains("→ 200") && !plain.text().contains("\x1b["), "{:?}", plain.text());
}

#[test]
fn what_a_server_says_is_not_obeyed() {
    let peer = hostile();
    for arguments in [vec!["-i", "-o", "/dev/null"], vec!["-i", "-o", "-"]] {
        let Some(ran) = on_terminal(&[&[peer.url("/").as_str()], arguments.as_slice()].concat(), &[])
        else {
            return;
        };
        let shown = without_colours(ran.text());
        assert!(shown.contains("x-evil: ") && shown.contains("31mred"), "{shown:?}");
        assert!(!shown.contains(['\u{9b}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("\\u{9b}31mred\\u{202e}\\t"), "{shown:?}");
    }
}

#[test]
fn a_long_body_has_a_bar_on_a_terminal() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n")?;
        connection.drip(vec![b'x'; 60_000], 3_000, 50 * MS)
    });
    let Some(shown) = on_terminal(&[&peer.url("/long")], &[]) else { return };
    assert!(shown.text().contains("60.00 kB"), "{:?}", shown.text());
    let quick = Peer::start(|_, connection| {
        connection.request()?;
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n{}",
            "x".repeat(60_000)
        ))
    });
    let shown = on_terminal(&[&quick.url("/short")], &[]).expect("a terminal");
    assert!(!shown.text().contains("60.00 kB"), "{:?}", shown.text());
}

/// The words that stand in it; a panic if it is no XML.
fn words_of(svg: &str) -> Vec<String> {
    let mut reader = Reader::from_str(svg);
    let (mut words, mut depth, mut elements) = (Vec::new(), 0, 0);
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(start) => {
                depth += 1;
                elements += 1;
                start.attributes().for_each(|attribute| {
                    drop(attribute.expect("an attribute").unescape_value().expect("text"))
                });
            }
            Event::Empty(empty) => {
                elements += 1;
                empty.attributes().for_each(|attribute| {
                    drop(attribute.expect("an attribute").unescape_value().expect("text"))
                });
            }
            Event::End(_) => depth -= 1,
            Event::Text(text) => words.push(text.unescape().expect("text").trim().to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(depth == 0 && elements > 10, "{svg}");
    words
}

#[test]
fn the_picture_is_xml_and_shows_each_phase_and_what_went_wrong() {
    let peer = Peer::start(|number, connection| {
        connection.request()?;
        match number {
            0 => connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
            _ => connection.ended(),
        }
    });
    let svg = std::env::temp_dir().join(format!("punctual-fetch-{}.svg", std::process::id()));
    let path = svg.to_str().expect("a path in UTF-8");
    let url = peer.url("/?a=<b>&c=\"d\"");
    let ran = fetch(&[&url, &url, "--svg", path, "--json", "--first-byte-timeout", "100ms"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let words = words_of(&fs::read_to_string(&svg).expect("the picture"));
    fs::remove_file(&svg).expect("removed");
    let count = |what: &str| words.iter().filter(|words| words.contains(what)).count();
    for phase in ["connect", "write", "wait"] {
        assert!(words.iter().filter(|word| *word == phase).count() == 2, "{phase}: {words:?}");
    }
    assert_eq!(words.iter().filter(|word| *word == "body").count(), 1, "{words:?}");
    assert_eq!((count("→ 200 over HTTP/1.1, 2 bytes"), count("→ no answer")), (1, 1), "{words:?}");
    assert!(count("wait was ended by its own deadline of 100 ms, ") == 1, "{words:?}");
    assert!(count("timeout-own") == 1 && count("timed out after 100 ms") == 1, "{words:?}");
    assert_eq!(hops(&ran.fetches()[1]).len(), 1);
    assert!(ran.took >= Duration::from_millis(100), "early");
}
