//! Responses that are too large, or never end: an error, soon.

use std::io;
use std::time::Duration;

use http::Method;
use punctual::http::Client;
use punctual::net::Kind;
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{now_ns, on_runtime, since};

use crate::broken::{fetch, number};

#[test]
fn p11_flood_1xx_ends_after_five() {
    let peer = Peer::start(|_, connection| {
        loop {
            let count = number(connection.request()?.target());
            connection.send("HTTP/1.1 123 Wait\r\nx: y\r\n\r\n".repeat(count))?;
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    });
    on_runtime("p11", async |_| {
        let client = Client::new();
        for count in [0, 1, 5] {
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{count}"))).await;
            assert_eq!(fetched.expect("not too many").1, "ok", "{count}");
        }
        for count in [6, 10, 1_000] {
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{count}"))).await;
            let error = fetched.expect_err("too many");
            assert_eq!(error.kind(), Kind::LimitExceeded, "{count}: {error}");
        }
    });
}

#[test]
fn p11_an_endless_flood_of_1xx_ends_too() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        loop {
            connection.send("HTTP/1.1 102 Processing\r\n\r\n")?;
        }
    });
    on_runtime("p11", async |_| {
        let began = now_ns();
        let error = fetch(&Client::new(), Method::GET, peer.url("/")).await.expect_err("no answer");
        assert_eq!(error.kind(), Kind::LimitExceeded, "{error}");
        assert!(since(began) < Duration::from_secs(4), "{:?}", since(began));
    });
}

#[test]
fn p08_heads_chunks_and_trailers_have_limits() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    type Sends = fn(&mut Connection) -> io::Result<()>;
    let rows: [(&str, Sends); 8] = [
        ("a header of 1 MB", |c| {
            c.send(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)))
        }),
        ("a status line of 1 MB", |c| c.send(format!("HTTP/1.1 200 {}\r\n\r\n", "y".repeat(1 << 20)))),
        ("10 000 headers", |c| c.send(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000)))),
        ("headers without end", |c| {
            c.send("HTTP/1.1 200 OK\r\n")?;
            loop {
                c.send("x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(100))?;
            }
        }),
        ("a chunk's extension of 1 MB", |c| {
            c.send(format!("{HEAD}2;{}\r\nok\r\n0\r\n\r\n", "x".repeat(1 << 20)))
        }),
        ("extensions of 1 MB in small chunks", |c| {
            c.send(format!("{HEAD}{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "x".repeat(999)).repeat(1_000)))
        }),
        ("a trailer of 1 MB", |c| {
            c.send(format!("{HEAD}2\r\nok\r\n0\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)))
        }),
        ("10 000 trailers", |c| {
            c.send(format!("{HEAD}2\r\nok\r\n0\r\n{}\r\n", "x: y\r\n".repeat(10_000)))
        }),
    ];
    let peer = Peer::start(move |_, connection| {
        let row = number(connection.request()?.target());
        rows[row].1(connection)?;
        connection.ended()
    });
    on_runtime("p08", async |_| {
        let client = Client::new();
        for (row, (name, _)) in rows.iter().enumerate() {
            let began = now_ns();
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{row}"))).await;
            let error = fetched.expect_err(name);
            assert!(matches!(error.kind(), Kind::LimitExceeded | Kind::Protocol), "{name}: {error:?}");
            assert!(since(began) < Duration::from_secs(2), "{name}: {:?}", since(began));
        }
    });
}

#[test]
fn p08_a_body_is_read_as_far_as_is_allowed() {
    let peer = Peer::start(|_, connection| {
        if connection.request()?.target() == "/announced" {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nx")?;
            return connection.ended();
        }
        connection.send("HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            connection.send([b'x'; 1024])?;
        }
    });
    on_runtime("p08", async |_| {
        let client = Client::new();
        for path in ["/announced", "/endless"] {
            let error = fetch(&client, Method::GET, peer.url(path)).await.expect_err("too long");
            assert_eq!(error.kind(), Kind::LimitExceeded, "{path}: {error}");
        }
    });
}

#[test]
fn p08_a_length_that_is_announced_is_not_believed() {
    let peer = Peer::start(|_, connection| {
        let length = connection.request()?.target()[1..].to_owned();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nx"))
    });
    on_runtime("p08", async |_| {
        let client = Client::new();
        for length in [1_u64 << 45, 1 << 63, u64::MAX - 2] {
            let response = client.get(peer.url(&format!("/{length}"))).send().await.expect("a head");
            let error = response.bytes(usize::MAX).await.expect_err("one byte of so many");
            assert_eq!(error.kind(), Kind::UnexpectedEof, "{length}: {error}");
        }
    });
}
