//! Redirects as the servers see them. The rules row by row are tested beside them, in `net/src/http/client/redirect/`.

use http_body_util::StreamBody;
use punctual::http::client::RequestBody;
use punctual::http::{Client, Response};
use punctual::net::{Error, Kind};
use punctual_tests_http::peer::{Peer, Request};
use punctual_tests_http::rig::on_runtime;

/// Answers `/end` by 200 and all else by the status in its path, which leads to what follows in it: `/302/http://…`.
fn leads_on() -> Peer {
    Peer::start(|_, connection| {
        loop {
            let request = connection.request()?;
            let mut parts = request.target()[1..].splitn(2, '/');
            let (status, location) = (parts.next().unwrap_or_default(), parts.next());
            match location {
                None => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")?,
                Some(location) => connection.send(format!(
                    "HTTP/1.1 {status} There\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nthat"
                ))?,
            }
        }
    })
}

async fn send(request: punctual::http::client::RequestBuilder) -> Result<(Response, u16), Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((response, status))
}

/// What is left of them: method, target, body.
fn seen(requests: &[Request]) -> Vec<(&str, &str, &str)> {
    let mut rows = Vec::new();
    for request in requests {
        let body = std::str::from_utf8(&request.body).expect("text");
        rows.push((request.method(), request.target(), body));
    }
    rows
}

#[test]
fn a_redirect_is_followed_on_the_same_connection_as_its_status_says() {
    for (status, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "12345"),
        (308, "POST", "12345"),
    ] {
        let peer = leads_on();
        on_runtime("redirects", async |_| {
            let client = Client::new();
            let path = format!("/{status}//end#there");
            let request = client.post(peer.url(&path)).header("content-type", "text/x").body("12345");
            let (response, code) = send(request).await.expect("an answer");
            assert_eq!((code, response.url().as_str()), (200, &*peer.url("/end#there")));
            let timeline = response.timeline();
            let hops: Vec<_> =
                timeline.hops.iter().map(|hop| (hop.method.as_str(), hop.status)).collect();
            assert_eq!(hops, [("POST", Some(status)), (method, Some(200))]);
            assert!(timeline.hops[1].reused, "{timeline:?}");
            assert_eq!(response.text(10).await.expect("a body"), "end");
        });
        let requests = peer.requests();
        let first = format!("/{status}//end");
        assert_eq!(seen(&requests), [("POST", &*first, "12345"), (method, "/end", body)]);
        assert_eq!(requests[1].header("content-type").is_some(), !body.is_empty(), "{status}");
        assert_eq!(peer.connections(), 1, "{status}");
    }
}

#[test]
fn credentials_stay_with_the_host_and_port_they_were_meant_for() {
    let (one, other) = (leads_on(), leads_on());
    on_runtime("redirects", async |_| {
        let client = Client::new();
        // There, and back again: what was dropped stays dropped.
        let path = format!("/302/{}", other.url(&format!("/302/{}", one.url("/end"))));
        let url = one.url(&path).replacen("http://", "http://user:password@", 1);
        let request = client.get(url).header("cookie", "a=b").header("x-other", "kept");
        assert_eq!(send(request).await.expect("an answer").1, 200);
        let within = client.get(one.url("/302//end")).basic_auth("user", "password");
        assert_eq!(send(within).await.expect("an answer").1, 200);
    });
    let (ones, others) = (one.requests(), other.requests());
    let secrets = |request: &Request| {
        let present = |name| request.header(name).is_some();
        (present("authorization"), present("cookie"), present("x-other"))
    };
    assert_eq!(secrets(&ones[0]), (true, true, true));
    assert_eq!(secrets(&others[0]), (false, false, true));
    assert_eq!(secrets(&ones[1]), (false, false, true), "back again");
    assert_eq!((secrets(&ones[2]).0, secrets(&ones[3]).0), (true, true), "within the origin");
    assert_eq!(others[0].header("host"), Some(other.address.to_string().as_str()));
    assert!(ones.iter().chain(&others).all(|request| !request.head.contains("password")));
}

#[test]
fn what_cannot_be_followed_is_the_answer_and_what_must_not_be_is_an_error() {
    let peer = leads_on();
    on_runtime("redirects", async |_| {
        let client = Client::new();
        // A body that is used up.
        let frames = tokio_stream::iter([Ok::<_, Error>(http_body::Frame::data("12345".into()))]);
        let body = RequestBody::stream(StreamBody::new(frames));
        let used_up = client.post(peer.url("/307//end")).body(body);
        assert_eq!(send(used_up).await.expect("an answer").1, 307);
        for (path, kind, words) in [
            ("/302/ftp://a/", Kind::Protocol, "leads to ftp:"),
            ("/302/http://user@a.invalid/", Kind::Protocol, "name or password"),
            ("/302/http://a:99999/", Kind::Protocol, "its port"),
        ] {
            let error = send(client.get(peer.url(path))).await.expect_err(path);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.timeline().map(|timeline| timeline.hops.len()), Some(1));
        }
    });
}

#[test]
fn no_more_than_ten_are_followed() {
    let peer = Peer::start(|_, connection| {
        loop {
            let request = connection.request()?;
            let number: usize = request.target()[1..].parse().unwrap_or(0);
            let next = if number == 100 { 100 } else { number + 1 };
            let head = if number == 10 {
                "200 OK".to_owned()
            } else {
                format!("302 There\r\nLocation: /{next}")
            };
            connection.send(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"))?;
        }
    });
    on_runtime("redirects", async |_| {
        let client = Client::new();
        assert_eq!(send(client.get(peer.url("/0"))).await.expect("ten of them").1, 200);
        let error = send(client.get(peer.url("/89"))).await.expect_err("eleven of them");
        assert_eq!(error.kind(), Kind::LimitExceeded, "{error}");
        assert!(error.to_string().ends_with("it is one more than 10"), "{error}");
        assert_eq!(error.timeline().map(|timeline| timeline.hops.len()), Some(11));
        let error = send(client.get(peer.url("/100"))).await.expect_err("round and round");
        assert!(error.to_string().ends_with("in a circle"), "{error}");
    });
}
