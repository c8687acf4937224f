//! nginx as the other side.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::Version;
use http_body::Frame;
use http_body_util::StreamBody;
use punctual::http::client::RequestBody;
use punctual::http::{Client, Timeouts};
use punctual::net::io::Throughput;
use punctual::net::{Error, Kind, Phase};
use punctual::{sleep, spawn, timeout};
use punctual_tests_http::nginx::Nginx;
use punctual_tests_http::peer::Peer;
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, seeds, since};

#[test]
fn nginx_starts_serves_and_is_gone_afterwards() {
    let Some(nginx) = Nginx::start("location /hello { return 200 \"hello\\n\"; }") else { return };
    nginx.serve_file("file", b"as it is");
    let ask = |path: &str| {
        let mut client = TcpStream::connect(nginx.http).expect("connected");
        write!(client, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("/hello").ends_with("\r\n\r\nhello\n"));
    assert!(ask("/file").ends_with("\r\n\r\nas it is"));
    let log = nginx.access_log();
    assert!(log[1].ends_with(" 1 200 HTTP/1.0 GET /file HTTP/1.0"), "{log:?}");
    let (address, directory) = (nginx.http, nginx.directory.clone());
    drop(nginx);
    assert!(TcpStream::connect(address).is_err() && !directory.exists());
}

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    Timeouts::new().connect(LONG).request_write(LONG).first_byte(LONG).body_idle(LONG).total(2 * LONG)
}

const LONG: Duration = Duration::from_secs(8);
const MEGABYTES_8: usize = 8 << 20;

/// A client over each protocol, and where nginx is found by it.
fn clients(nginx: &Nginx) -> [(&'static str, Client, String); 3] {
    let builder = || Client::builder().timeouts(patient());
    let (plain, secure) = (nginx.url(""), nginx.secure_url(""));
    [
        ("HTTP/1.1", builder().build(), plain),
        ("HTTP/1.1 over TLS", builder().http1_only().tls(nginx.connector()).build(), secure.clone()),
        ("HTTP/2 over TLS", builder().tls(nginx.connector()).build(), secure),
    ]
}

async fn fetch(client: &Client, url: String) -> Result<(u16, Bytes), Error> {
    let response = client.get(url).send().await?;
    Ok((response.status().as_u16(), response.bytes(16 << 20).await?))
}

/// Bytes in which a part that is lost, doubled or moved shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(8);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

#[test]
fn requests_and_8_mb_bodies_both_ways_over_each_protocol() {
    let Some(nginx) = Nginx::start("location /up/ { dav_methods PUT; } location /none { return 204; }")
    else {
        return;
    };
    std::fs::create_dir(nginx.directory.join("html/up")).expect("a directory");
    let large = pattern(MEGABYTES_8);
    nginx.serve_file("large", &large);
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            let expected = if name.starts_with("HTTP/2") { Version::HTTP_2 } else { Version::HTTP_11 };
            let sent = client.get(format!("{base}/large")).send().await;
            let response = sent.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((response.status().as_u16(), response.version()), (200, expected), "{name}");
            assert_eq!(response.content_length(), Some(MEGABYTES_8 as u64), "{name}");
            assert!(response.bytes(MEGABYTES_8).await.expect("all of it") == large, "{name}");

            let file = format!("up/{}", name.replace(['/', ' '], "-"));
            let put = client.put(format!("{base}/{file}")).body(large.clone()).send().await;
            assert_eq!(put.expect("stored").status().as_u16(), 201, "{name}");
            assert!(nginx.file(&file) == large, "{name}");
            // Part by part, of unknown length.
            let frames: Vec<_> = large
                .chunks(100_000)
                .map(|part| Ok::<_, Error>(Frame::data(Bytes::copy_from_slice(part))))
                .collect();
            let body = RequestBody::stream(StreamBody::new(tokio_stream::iter(frames)));
            let put = client.put(format!("{base}/{file}-2")).body(body).send().await;
            assert_eq!(put.expect("stored").status().as_u16(), 201, "{name}");
            assert!(nginx.file(&format!("{file}-2")) == large, "{name}");

            assert_eq!(
                fetch(&client, format!("{base}/none")).await.expect("nothing"),
                (204, Bytes::new())
            );
            let head = client.head(format!("{base}/large")).send().await.expect("a head");
            assert_eq!(head.bytes(0).await.expect("no body").len(), 0, "{name}");
            assert_eq!(fetch(&client, format!("{base}/missing")).await.expect("an answer").0, 404);
        }
    });
    let log = nginx.access_log();
    let connections: BTreeSet<&str> = log.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((log.len(), connections.len()), (18, 3), "one connection each: {log:#?}");
}

#[test]
fn p14_connections_that_nginx_closes_by_number_or_by_time_are_replaced() {
    let Some(nginx) =
        Nginx::start("location / { return 200 ok; } keepalive_requests 3; keepalive_timeout 1s;")
    else {
        return;
    };
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            for number in 0..10 {
                let fetched = client.post(format!("{base}/{number}")).body("12345").send().await;
                let response = fetched.unwrap_or_else(|error| panic!("{name}, {number}: {error}"));
                assert_eq!(response.bytes(10).await.expect("a body"), "ok", "{name}");
            }
        }
        let metrics = |client: &Client| client.metrics().idle;
        let clients = clients(&nginx);
        for (_, client, base) in &clients {
            assert_eq!(fetch(client, format!("{base}/")).await.expect("fine").1, "ok");
            assert_eq!(metrics(client), 1);
        }
        // nginx gives them up after a second, and so does the pool, before it is asked.
        sleep(Duration::from_millis(1_500)).await;
        for (name, client, base) in &clients {
            let sent = client.post(format!("{base}/")).body("12345").send().await;
            let response = sent.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!response.timeline().hops[0].reused, "{name}");
            drop(response.bytes(10).await);
        }
    });
    let log = nginx.access_log();
    assert_eq!(log.len(), 36, "none was sent twice: {log:#?}");
    assert!(log.iter().all(|line| line.split(' ').nth(1).is_some_and(|count| count <= "3")), "{log:#?}");
}

#[test]
fn p16_a_slow_body_is_fine_above_min_rate_and_ends_below_it() {
    let Some(nginx) = Nginx::start("location /slow { alias html/large; limit_rate 40k; }") else {
        return;
    };
    nginx.serve_file("large", &pattern(60_000));
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            let window = Duration::from_millis(500);
            let get = |rate: u64| {
                let times = patient().throughput(Throughput::per_second(rate).grace(window));
                client.get(format!("{base}/slow")).timeouts(times).send()
            };
            let began = now_ns();
            let slow = get(10_000).await.expect("a head").bytes(100_000).await;
            assert_eq!(slow.unwrap_or_else(|error| panic!("{name}: {error}")).len(), 60_000);
            println!("{name}: 60 kB at 40 kB/s took {:?}", since(began));
            let began = now_ns();
            let error =
                get(1_000_000).await.expect("a head").bytes(100_000).await.expect_err("too slow");
            assert_passed(began, window);
            assert!(error.is_timeout() && error.phase() == Phase::Body, "{name}: {error}");
            assert!(since(began) < LONG / 2, "{name}: {:?}", since(began));
            println!("{name}: {error}");
        }
    });
}

#[test]
fn redirects_of_nginx_chunks_and_downgrades() {
    let Some(nginx) = Nginx::start(
        "location /old { return 301 /new; } location /new { return 200 new; }
         location /keep { return 308 /put/x; } location /put/ { dav_methods PUT; }
         location /down { return 302 http://localhost:1/secret; }
         location /up { return 301 https://localhost:$arg_port/new; }
         location /circle { return 302 /circle; }
         location /chunks { alias html/chunks; sub_filter a b; sub_filter_once off; sub_filter_types *; }",
    ) else {
        return;
    };
    std::fs::create_dir(nginx.directory.join("html/put")).expect("a directory");
    nginx.serve_file("chunks", &b"a".repeat(300_000));
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            let response = client.get(format!("{base}/old")).send().await.expect("followed");
            assert_eq!((response.status().as_u16(), response.url().path()), (200, "/new"), "{name}");
            assert_eq!(response.timeline().hops.len(), 2);
            assert_eq!(response.bytes(10).await.expect("a body"), "new");
            let put = client.put(format!("{base}/keep")).body("12345").send().await.expect("followed");
            assert!(put.status().is_success(), "{name}: {}", put.status());
            assert_eq!(nginx.file("put/x"), b"12345");
            let error = client.get(format!("{base}/circle")).send().await.expect_err("round and round");
            assert_eq!(error.kind(), Kind::LimitExceeded, "{name}: {error}");
            let chunks = fetch(&client, format!("{base}/chunks")).await.expect("put together").1;
            assert_eq!(chunks, b"b".repeat(300_000), "{name}");
            let down = client.get(format!("{base}/down")).send().await.expect_err("to http");
            if name == "HTTP/1.1" {
                assert_eq!(down.phase(), Phase::Connect, "nobody listens there: {down}");
                let up = format!("{base}/up?port={}", nginx.https.port());
                let secure = Client::builder().tls(nginx.connector()).build();
                let response = secure.get(up).basic_auth("a", "b").send().await.expect("followed");
                assert_eq!((response.url().scheme(), response.version()), ("https", Version::HTTP_2));
            } else {
                assert_eq!(down.kind(), Kind::Protocol, "{name}: {down}");
                assert!(down.to_string().contains("leads from https to http"), "{name}: {down}");
            }
        }
    });
}

#[test]
fn a_dead_upstream_is_a_status_and_its_own_deadline_comes_first_if_it_is_earlier() {
    // Takes connections, and says nothing.
    let silent = Peer::start(|_, connection| connection.ended());
    let Some(nginx) = Nginx::start(&format!(
        "location /refused {{ proxy_pass http://127.0.0.1:1; }}
         location /silent {{ proxy_pass http://{0}; proxy_read_timeout 1s; }}
         location /patient {{ proxy_pass http://{0}; }}",
        silent.address
    )) else {
        return;
    };
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            assert_eq!(
                fetch(&client, format!("{base}/refused")).await.expect("a status").0,
                502,
                "{name}"
            );
            assert_eq!(
                fetch(&client, format!("{base}/silent")).await.expect("a status").0,
                504,
                "{name}"
            );
            let began = now_ns();
            let times = patient().first_byte(300 * MS);
            let sent = client.get(format!("{base}/patient")).timeouts(times).send().await;
            let error = sent.expect_err("it is silent");
            assert_passed(began, 300 * MS);
            assert!(error.is_timeout() && error.phase() == Phase::FirstByte, "{name}: {error}");
        }
    });
}

#[test]
fn p10_each_answer_of_nginx_belongs_to_its_request_whatever_is_let_go_of() {
    let Some(nginx) = Nginx::start(
        "location /id { return 200 $request_uri; }
         location /large { alias html/large; limit_rate 1m; }
         keepalive_requests 50;",
    ) else {
        return;
    };
    nginx.serve_file("large", &pattern(200_000));
    for seed in seeds(&[1, 2]) {
        println!("seed {seed}");
        on_runtime("nginx", async |_| {
            for (name, client, base) in clients(&nginx) {
                let mut rng = Rng::with_seed(seed);
                let mut whole = 0;
                for round in 0..20 {
                    let tasks: Vec<_> = (0..12)
                        .map(|lane| {
                            let target = format!("/id?{}", round * 12 + lane);
                            let (client, base, way) = (client.clone(), base.clone(), rng.u8(..4));
                            let short = Duration::from_micros(rng.u64(..4_000));
                            spawn(async move {
                                if way == 0 {
                                    // A large one that is given up in its midst.
                                    let times = patient().total(short);
                                    let sent =
                                        client.get(format!("{base}/large")).timeouts(times).send().await;
                                    drop(sent.ok()?.bytes(1 << 20).await);
                                    return None;
                                }
                                let fetched = fetch(&client, format!("{base}{target}"));
                                let fetched = match way {
                                    1 => timeout(short, fetched).await.ok()?.ok()?,
                                    _ => fetched.await.expect("nothing keeps it from being answered"),
                                };
                                assert_eq!(fetched, (200, Bytes::from(target)));
                                Some(())
                            })
                        })
                        .collect();
                    for task in tasks {
                        whole += usize::from(task.await.expect("no panic").is_some());
                    }
                }
                println!("{name}: {whole} whole");
                assert!(whole > 100, "{name}");
            }
        });
    }
}

#[test]
fn a_reload_under_load_loses_nothing_that_is_idempotent() {
    let Some(nginx) =
        Nginx::start("location /id { return 200 $request_uri; } keepalive_requests 1000000;")
    else {
        return;
    };
    on_runtime("nginx", async |_| {
        for (name, client, base) in clients(&nginx) {
            let lanes: Vec<_> = (0..4)
                .map(|lane| {
                    let (client, base) = (client.clone(), base.clone());
                    spawn(async move {
                        for number in 0..150 {
                            let target = format!("/id?{lane}-{number}");
                            let fetched = fetch(&client, format!("{base}{target}")).await;
                            assert_eq!(fetched.expect("not lost"), (200, Bytes::from(target)));
                            sleep(MS).await;
                        }
                    })
                })
                .collect();
            for _ in 0..3 {
                sleep(40 * MS).await;
                nginx.reload();
            }
            for lane in lanes {
                lane.await.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    });
}

#[test]
fn a_graceful_quit_ends_what_is_under_way_and_then_nobody_listens() {
    let Some(nginx) = Nginx::start(
        "location /slow { alias html/large; limit_rate 100k; } location / { return 200 ok; }",
    ) else {
        return;
    };
    nginx.serve_file("large", &pattern(60_000));
    on_runtime("nginx", async |_| {
        let clients = clients(&nginx);
        let mut slow = Vec::new();
        for (_, client, base) in &clients {
            assert_eq!(fetch(client, format!("{base}/")).await.expect("fine").1, "ok");
            slow.push(client.get(format!("{base}/slow")).send().await.expect("it has begun"));
        }
        nginx.quit();
        for (response, (name, ..)) in slow.into_iter().zip(&clients) {
            let body = response.bytes(100_000).await;
            assert_eq!(body.unwrap_or_else(|error| panic!("{name}: {error}")).len(), 60_000, "{name}");
        }
        for (name, client, base) in &clients {
            let error = fetch(client, format!("{base}/")).await.expect_err("nobody is there");
            assert_eq!(error.phase(), Phase::Connect, "{name}: {error}");
        }
    });
}
