//! What each path answers.

use super::*;

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

#[test]
fn every_route_has_its_status_type_and_headers() {
    served(
        "routes",
        |builder| builder,
        |address| {
            let expected = [
                ("/", 200, HTML),
                ("/debug/drift", 200, HTML),
                ("/debug/drift?refresh=0", 200, HTML),
                ("/debug/waits", 200, TEXT),
                ("/debug/waits?format=html", 200, HTML),
                ("/debug/waits?format=text", 200, TEXT),
                ("/debug/state", 200, "application/json"),
                ("/metrics", 200, "text/plain; version=0.0.4"),
                ("/style.css", 200, "text/css; charset=utf-8"),
                ("/live.js", 200, "text/javascript; charset=utf-8"),
                ("/debug/waits?format=xml", 400, TEXT),
                ("/debug/drift?refresh=-1", 400, TEXT),
                ("/debug/drift?refresh=+1", 400, TEXT),
                ("/debug/drift?refresh=99999999999999999999", 400, TEXT),
                ("/debug/pprof/profile?seconds=0", 400, TEXT),
                ("/debug/pprof/profile?seconds=121", 400, TEXT),
                ("/debug/pprof/profile?seconds=x", 400, TEXT),
                ("/debug/pprof/profile?seconds=1&format=txt", 400, TEXT),
                ("/debug/drift/", 404, TEXT),
                ("/debug/Drift", 404, TEXT),
                ("//", 404, TEXT),
                ("/debug/../debug/drift", 404, TEXT),
                ("/debug%2Fdrift", 404, TEXT),
            ];
            for (path, status, kind) in expected {
                let reply = get(address, path);
                assert_eq!((reply.status, reply.header("content-type")), (status, Some(kind)), "{path}");
                assert_eq!(reply.header("cache-control"), Some("no-store"));
                assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
                let policy = reply.header("content-security-policy").expect("a policy");
                assert!(
                    policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
                    "{policy}"
                );
                assert!(!reply.head.to_lowercase().contains("access-control"), "{}", reply.head);
                let length = reply.header("content-length").expect("a length");
                assert_eq!(length, reply.body.len().to_string(), "{path}");
            }
            let missing = get(address, "/nowhere");
            for path in ["/", "/debug/drift", "/debug/waits", "/metrics", "/debug/pprof/profile"] {
                assert!(missing.text().lines().any(|line| line.trim() == path), "{}", missing.text());
            }
        },
    );
}

#[test]
fn a_browser_has_html_of_the_waits_and_a_program_has_text() {
    served(
        "accept",
        |builder| builder,
        |address| {
            let with = |accept: &str| {
                let more = format!("Accept: {accept}\r\n");
                send(address, &request("GET", "/debug/waits", &address.to_string(), &more))
            };
            let html = with("text/html,application/xhtml+xml,*/*;q=0.8");
            assert_eq!(html.header("content-type"), Some(HTML));
            assert!(html.text().contains("<li>accept "), "its own: {}", html.text());
            let text = with("*/*");
            assert_eq!(text.header("content-type"), Some(TEXT));
            assert!(text.text().lines().any(|line| line.starts_with("accept ")), "{}", text.text());
        },
    );
}

#[test]
fn head_says_what_get_would_and_sends_nothing() {
    served(
        "HEAD",
        |builder| builder,
        |address| {
            for path in ["/", "/style.css", "/debug/pprof/profile?seconds=60", "/nowhere"] {
                let reply = send(address, &request("HEAD", path, "localhost", ""));
                assert!(reply.body.is_empty(), "{path}");
                if path == "/style.css" {
                    let length = get(address, path).body.len().to_string();
                    assert_eq!(reply.header("content-length"), Some(&*length));
                }
            }
        },
    );
}

#[cfg(feature = "pprof")]
#[test]
fn a_profile_is_taken_one_at_a_time_and_given_up_when_its_client_goes() {
    // There is one timer of the kernel's for it in a process.
    let test = "debug::routes::a_profile_is_taken_one_at_a_time_and_given_up_when_its_client_goes";
    if !child::plays("profiled") {
        return child::succeed(child::command(test, "profiled"));
    }
    Runtime::new().expect("a runtime").block_on(serve_to(
        |builder| builder,
        |address| {
            let path = "/debug/pprof/profile?seconds=120";
            let mut first = connect(address);
            let ask = request("GET", path, "localhost", "");
            first.write_all(ask.as_bytes()).expect("sent");
            let second = loop {
                // Until the first has begun the other is the first.
                let mut other = connect(address);
                other.set_read_timeout(Some(20 * MS)).expect("set");
                other.write_all(ask.as_bytes()).expect("sent");
                let mut all = Vec::new();
                if other.read_to_end(&mut all).is_ok() {
                    break parse(&all);
                }
            };
            assert_eq!(
                (second.status, second.text().starts_with("No profile: ")),
                (503, true),
                "{second:?}"
            );
            let dropped = now_ns();
            drop(first);
            let taken = loop {
                let taken = get(address, "/debug/pprof/profile?seconds=1");
                if taken.status != 503 {
                    break taken;
                }
                assert!(Duration::from_nanos(now_ns() - dropped) < PATIENCE, "it goes on for nobody");
                std::thread::yield_now();
            };
            let kind = taken.header("content-type");
            assert_eq!((taken.status, kind), (200, Some("application/octet-stream")), "{}", taken.head);
            let flames = get(address, "/debug/pprof/profile?seconds=1&format=svg");
            assert_eq!((flames.status, flames.header("content-type")), (200, Some("image/svg+xml")));
        },
    ));
}

#[test]
fn a_connection_asks_more_than_once_also_all_at_once() {
    served(
        "keep-alive",
        |builder| builder,
        |address| {
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let mut stream = connect(address);
            for _ in 0..3 {
                stream.write_all(ask.as_bytes()).expect("sent");
                assert_eq!(read_one(&mut stream).status, 200);
            }
            stream.write_all(ask.repeat(5).as_bytes()).expect("sent");
            (0..5).for_each(|_| assert_eq!(read_one(&mut stream).status, 200));
        },
    );
}

/// Between two of many that were sent at once it is the turn of what else the loop has to do.
#[test]
fn requests_that_are_sent_at_once_are_answered_in_a_poll_each() {
    const MANY: usize = 60;
    on_alarms("pipelined", async |_| {
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let asked = blocking(move || {
            let mut stream = connect(address);
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            stream.write_all(ask.repeat(MANY).as_bytes()).expect("sent");
            (0..MANY).for_each(|_| assert_eq!(read_one(&mut stream).status, 200));
            stream
        });
        let stream = asked.await.expect("no panic");
        let tasks = punctual::tasks();
        let connection =
            tasks.iter().find(|task| task.name.as_deref() == Some("punctual-debug connection"));
        let polls = connection.expect("it is open").polls;
        assert!(polls >= MANY as u64, "{polls} polls for {MANY} requests");
        drop(stream);
        endpoint.stop().await.expect("it had not failed");
    });
}

#[test]
fn curl_agrees() {
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("curl is not here: install it");
    }
    served(
        "curl",
        |builder| builder,
        |address| {
            let curl = |arguments: &[&str], path: &str| {
                let url = format!("http://{address}{path}");
                let mut command = Command::new("curl");
                command.args(["-sS", "--noproxy", "*", "--max-time", "60"]).args(arguments).arg(url);
                let output = command.output().expect("curl runs");
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout).expect("UTF-8")
            };
            let json = curl(&["--fail"], "/debug/state");
            let state: punctual::debug::State = serde_json::from_str(&json).expect("a state");
            assert_eq!(state.process_id, std::process::id());
            let status = ["-o", "/dev/null", "-w", "%{http_code} %{content_type}"];
            assert_eq!(curl(&status, "/debug/drift"), format!("200 {HTML}"));
            let twice = [&status[..], &["-H", "Host: evil.example"]].concat();
            assert_eq!(curl(&twice, "/debug/drift"), format!("421 {TEXT}"));
        },
    );
}

/// Text that comes from elsewhere, here the name of a scope.
#[test]
fn names_are_no_markup() {
    on_alarms("escaping", async |_| {
        let name = "<script>alert(1)</script>\"'&";
        let scope = punctual::scope(name, punctual::Unbounded, async |_| {
            serve_to(
                |builder| builder,
                |address| {
                    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;";
                    let reply = get(address, "/debug/waits?format=html");
                    assert!(!reply.text().contains("<script>alert"), "{}", reply.text());
                    assert!(reply.text().contains(escaped), "it tells of the scope: {}", reply.text());
                },
            )
            .await
        });
        scope.await.expect("it is done");
    });
}

/// The drift page says what the runtime says.
#[test]
fn the_figures_of_the_page_are_those_of_the_runtime() {
    on_alarms("figures", async |_| {
        for _ in 0..7 {
            punctual::sleep(MS).await;
        }
        let fired = punctual::drift().total.count();
        assert_eq!(fired, 7);
        serve_to(
            |builder| builder,
            |address| {
                let page = get(address, "/debug/drift?refresh=0");
                let page = page.text();
                assert!(page.contains("<dt>fired</dt><dd>7</dd>"), "{page}");
                assert!(page.contains("<div class=\"good\"><dt>early</dt><dd>0</dd></div>"), "{page}");
                assert_eq!(page.matches("<svg class=\"ridge\"").count(), 4);
                assert_eq!(page.matches("<svg class=\"tail\"").count(), 1);
                assert!(!page.contains("live.js") && !page.contains("http-equiv"), "it is held");
                let live = get(address, "/debug/drift?refresh=5");
                let live = live.text();
                let fallback = "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>";
                assert!(live.contains(fallback) && live.contains("data-every=\"5\""), "{live}");
            },
        )
        .await;
    });
}

/// Ten thousand lines are written in small parts: the others run in between.
#[test]
fn a_long_page_does_not_hold_up_the_loop() {
    on_alarms("long page", async |_| {
        let sleepers: Vec<_> =
            (0..10_000).map(|_| punctual::spawn(punctual::sleep(PATIENCE * 100))).collect();
        punctual::yield_now().await;
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        for path in ["/debug/waits", "/debug/waits?format=html"] {
            let asked = blocking(move || {
                let mut stream = connect(address);
                let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
                stream.write_all(ask.as_bytes()).expect("sent");
                let listed = read_one(&mut stream).text().matches("sleep for").count();
                (stream, listed)
            });
            let (stream, listed) = asked.await.expect("no panic");
            assert!(listed >= 9_000, "{path}: {listed} lines");
            let connection = |task: &punctual::TaskInfo| {
                task.name.as_deref().is_some_and(|name| name == "punctual-debug connection")
            };
            let polls = punctual::tasks().into_iter().filter(connection).map(|task| task.polls).max();
            assert!(polls > Some(9_000 / 64), "{path}: written in {polls:?} polls");
            drop(stream);
        }
        endpoint.stop().await.expect("it had not failed");
        for sleeper in sleepers {
            sleeper.abort();
            let _ = sleeper.await;
        }
    });
}
