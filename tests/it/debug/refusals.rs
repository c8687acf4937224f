//! Whom it refuses, and in which words.

use super::*;

use punctual::net::Phase;

/// Conformance: DNS rebinding. The page of `evil.example` cannot send another Host than its own.
#[test]
fn a_name_that_is_not_ours_is_misdirected() {
    served(
        "rebinding",
        |builder| builder,
        |address| {
            let others = [
                "evil.example",
                "evil.example:80",
                "localhost.evil.example",
                "127.0.0.1.nip.io",
                "10.0.0.1",
                "0.0.0.0",
                "2130706433",
                "user@localhost",
                "[::2]",
                "127.0.0.1@evil.example",
            ];
            for host in others {
                let reply = send(address, &request("GET", "/debug/state", host, ""));
                assert_eq!(reply.status, 421, "{host}: {reply:?}");
                assert!(!reply.text().contains("version"), "{host}");
            }
            for host in [
                "localhost",
                "LOCALHOST:1",
                "127.0.0.1",
                "127.0.0.2:99",
                "[::1]:7",
                &address.to_string(),
            ] {
                let reply = send(address, &request("GET", "/debug/state", host, ""));
                assert_eq!(reply.status, 200, "{host}: {reply:?}");
            }
            // In its absolute form (RFC 9112, section 3.2.2) the target counts as well.
            let absolute = "http://evil.example/debug/state";
            assert_eq!(send(address, &request("GET", absolute, "localhost", "")).status, 421);
            let twice = request("GET", "/", "localhost", "Host: evil.example\r\n");
            assert_eq!(send(address, &twice).status, 400);
            assert_eq!(send(address, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
            assert_eq!(send(address, "GET / HTTP/1.0\r\n\r\n").status, 400);
            assert_eq!(send(address, &request("GET", "/", "", "")).status, 400);
        },
    );
}

#[test]
fn a_page_from_elsewhere_starts_nothing() {
    served(
        "cross-site",
        |builder| builder,
        |address| {
            let of = |site: &str| {
                let more = format!("Sec-Fetch-Site: {site}\r\n");
                send(address, &request("GET", "/debug/waits", "localhost", &more)).status
            };
            assert_eq!(["cross-site", "same-site", "CROSS-SITE", ""].map(of), [403; 4]);
            assert_eq!(["same-origin", "none"].map(of), [200; 2]);
        },
    );
}

#[test]
fn nothing_but_get_and_head() {
    served(
        "methods",
        |builder| builder,
        |address| {
            for method in
                ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PURGE", "get"]
            {
                let target = if method == "CONNECT" { "localhost:80" } else { "/" };
                let reply = send(address, &request(method, target, "localhost", ""));
                assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
                assert!(!reply.head.to_lowercase().contains("access-control"));
            }
            for more in ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
                let mut stream = connect(address);
                let ask = request("GET", "/debug/state", "localhost", more);
                stream.write_all(ask.as_bytes()).expect("sent");
                let reply = read_one(&mut stream);
                assert_eq!(reply.status, 413, "{more}: {reply:?}");
            }
        },
    );
}

#[test]
fn what_is_too_long_or_no_http_is_refused_and_closed() {
    served(
        "limits",
        |builder| builder,
        |address| {
            let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
            let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
            for more in [long, many] {
                let mut stream = connect(address);
                let ask = request("GET", "/", "localhost", &more);
                // It may have answered before it has all.
                let _ = stream.write_all(ask.as_bytes());
                let mut all = vec![0; 12];
                stream.read_exact(&mut all).expect("an answer");
                assert_eq!(all, b"HTTP/1.1 431", "{}", String::from_utf8_lossy(&all));
            }
            for nonsense in
                ["\r\n\r\n\r\nhello\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"]
            {
                assert_eq!(send(address, nonsense).status, 400, "{nonsense:?}");
            }
            let fine = get(address, "/");
            assert_eq!(fine.status, 200, "and it goes on");
        },
    );
}

#[test]
fn other_machines_are_let_in_only_if_it_is_said() {
    on_alarms("bind", async |runtime| {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:0.0.0.0]:0"] {
            let error = Server::builder().bind(address).expect_err(address);
            assert_eq!(error.phase(), Phase::Configure, "{error}");
            assert!(error.to_string().contains("open to other machines"), "{error}");
        }
        for name in ["localhost:0", "evil.example:0", "127.0.0.1", ""] {
            let error = Server::builder().bind(name).expect_err(name);
            assert_eq!(error.kind(), punctual::net::Kind::InvalidInput, "{error}");
        }
        assert_eq!(runtime.metrics().live_sources, 0, "nothing listens");
        let everywhere = Server::builder().allow_non_loopback(true).bind("0.0.0.0:0").expect("bound");
        assert!(everywhere.local_addr().ip().is_unspecified());
        let here = Server::builder().bind("127.0.0.9:0").expect("all of 127/8 is here");
        assert!(here.local_addr().ip().is_loopback());
        let taken = Server::builder().bind(here.local_addr()).expect_err("it is taken");
        assert_eq!(taken.kind(), punctual::net::Kind::Kernel(libc::EADDRINUSE), "{taken}");
    });
}

#[test]
fn one_connection_too_many_is_told_so() {
    served(
        "too many",
        |builder| builder.max_connections(2),
        |address| {
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let hold = || {
                let mut stream = connect(address);
                stream.write_all(ask.as_bytes()).expect("sent");
                assert_eq!(read_one(&mut stream).status, 200);
                stream
            };
            let (first, mut second) = (hold(), hold());
            let refused = get(address, "/");
            assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
            assert!(refused.text().starts_with("As many connections"), "{}", refused.text());
            assert_eq!(refused.header("content-length"), Some(&*refused.body.len().to_string()));
            second.write_all(ask.as_bytes()).expect("sent");
            assert_eq!(read_one(&mut second).status, 200, "those that are open go on");
            drop(first);
            while get(address, "/").status == 503 {
                std::thread::yield_now();
            }
        },
    );
}
