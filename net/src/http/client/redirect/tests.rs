use http::HeaderValue;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

fn to(location: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_bytes(location).expect("a header's value"));
    headers
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

/// What follows on `GET from`, answered by 302 and `location`.
fn get(from: &str, location: &str) -> Result<Next, Refusal> {
    let followed = Redirects::new(10).follow(
        &url(from),
        &Method::GET,
        Replay::Empty,
        StatusCode::FOUND,
        &to(location.as_bytes()),
    );
    followed.map(|next| next.expect("a redirect"))
}

#[test]
fn the_method_and_the_body_go_on_as_the_status_says() {
    use NextBody::{None as Dropped, Same};
    use Replay::{Empty, Never, Whole};
    /// Statuses, method, body; what goes on: method and body.
    type Row = (&'static [u16], &'static str, Replay, Option<(&'static str, NextBody)>);
    let rows: &[Row] = &[
        (&[301, 302, 303, 307, 308], "GET", Empty, Some(("GET", Dropped))),
        (&[301, 302, 303, 307, 308], "HEAD", Empty, Some(("HEAD", Dropped))),
        (&[301, 302, 303], "POST", Whole, Some(("GET", Dropped))),
        (&[301, 302, 303], "POST", Never, Some(("GET", Dropped))),
        (&[301, 302, 303], "POST", Empty, Some(("GET", Dropped))),
        (&[307, 308], "POST", Empty, Some(("POST", Dropped))),
        (&[307, 308], "POST", Whole, Some(("POST", Same))),
        (&[307, 308], "POST", Never, None),
        (&[301, 302, 307, 308], "PUT", Whole, Some(("PUT", Same))),
        (&[301, 302, 307, 308], "PUT", Never, None),
        (&[301, 302, 307, 308], "GET", Whole, Some(("GET", Same))),
        (&[303], "PUT", Whole, Some(("GET", Dropped))),
        (&[303], "PUT", Never, Some(("GET", Dropped))),
        (&[301, 302, 307, 308], "DELETE", Empty, Some(("DELETE", Dropped))),
        (&[303], "DELETE", Empty, Some(("GET", Dropped))),
        (&[303], "OPTIONS", Empty, Some(("GET", Dropped))),
        (&[301, 302, 303, 307, 308], "CONNECT", Empty, None),
        (&[200, 201, 202, 300, 304, 305, 306, 309, 310, 399, 401, 404, 503], "GET", Empty, None),
    ];
    for (statuses, method, replay, expected) in rows {
        for code in *statuses {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let from = url("http://a.test/x");
            let mut redirects = Redirects::new(10);
            let next = redirects.follow(&from, &method, *replay, status(*code), &to(b"/y"));
            let next = next.expect("it may be followed");
            assert_eq!(
                next.as_ref().map(|next| (next.method.as_str(), next.body)),
                *expected,
                "{code} on {method}, {replay:?}"
            );
            assert!(next.is_none_or(|next| next.url == url("http://a.test/y")));
        }
    }
}

#[test]
fn a_location_is_resolved_against_the_url_that_it_answers() {
    let rows = [
        ("http://a.test/b/c?d", "/e", "http://a.test/e"),
        ("http://a.test/b/c?d", "e", "http://a.test/b/e"),
        ("http://a.test/b/c?d", "../e", "http://a.test/e"),
        ("http://a.test/b/c?d", "../../../e", "http://a.test/e"),
        ("http://a.test/b/c?d", "?e", "http://a.test/b/c?e"),
        ("http://a.test/b/c?d", "", "http://a.test/b/c?d"),
        ("http://a.test/b/c?d", "//e.test/f", "http://e.test/f"),
        ("https://a.test/b", "//e.test/f", "https://e.test/f"),
        ("http://a.test/b", "https://a.test/b", "https://a.test/b"),
        ("http://a.test/b", "HTTPS://E.test", "https://e.test/"),
        ("http://a.test:8080/b", "/e", "http://a.test:8080/e"),
        ("http://a.test/b", "http://[::1]:81/e", "http://[::1]:81/e"),
        ("http://a.test/b", "/ü d", "http://a.test/%C3%BC%20d"),
        ("http://a.test/b", "http://ü.test/", "http://xn--tda.test/"),
        // A parser of URLs reads a backslash as a slash, and so this is another host.
        ("http://a.test/b", "\\\\e.test\\f", "http://e.test/f"),
        // The user is not taken along: `client` has made a header of it.
        ("http://u:p@a.test/b", "/e", "http://a.test/e"),
    ];
    for (from, location, expected) in rows {
        let next = get(from, location).unwrap_or_else(|refusal| panic!("{location:?}: {refusal}"));
        assert_eq!(next.url.as_str(), expected, "{location:?} from {from}");
    }
}

#[test]
fn a_fragment_goes_along_unless_there_is_a_new_one() {
    let rows = [
        ("http://a.test/b#one", "/e", "http://a.test/e#one"),
        ("http://a.test/b#one", "/e#two", "http://a.test/e#two"),
        ("http://a.test/b#one", "/e#", "http://a.test/e#"),
        ("http://a.test/b#one", "https://e.test/", "https://e.test/#one"),
        ("http://a.test/b", "#two", "http://a.test/b#two"),
    ];
    for (from, location, expected) in rows {
        assert_eq!(get(from, location).expect("followed").url.as_str(), expected, "{location:?}");
    }
}

#[test]
fn what_leads_astray_is_refused() {
    let scheme = |scheme: &str| Refusal::Scheme { scheme: scheme.to_owned() };
    let invalid = |why| Refusal::Invalid { why };
    let rows = [
        ("https://a.test/", "http://a.test/", Refusal::Downgrade),
        ("https://a.test/", "http://e.test/", Refusal::Downgrade),
        ("http://a.test/", "ftp://a.test/", scheme("ftp")),
        ("http://a.test/", "file:///etc/passwd", scheme("file")),
        ("http://a.test/", "javascript:alert(1)", scheme("javascript")),
        ("http://a.test/", "data:text/plain,x", scheme("data")),
        ("https://a.test/", "ws://a.test/", scheme("ws")),
        ("http://a.test/", "http://bank.test@e.test/", Refusal::UserInfo),
        ("http://a.test/", "//u:p@a.test/", Refusal::UserInfo),
        ("http://a.test/", "http://:p@a.test/", Refusal::UserInfo),
        ("http://u:p@a.test/", "http://u:p@a.test/e", Refusal::UserInfo),
        ("http://a.test/", "http://", invalid("it has no host")),
        ("http://a.test/", "http://a.test:65536/", invalid("its port is not a number from 0 to 65535")),
        ("http://a.test/", "http://[::1/", invalid("its host is not an IPv6 address")),
        ("http://a.test/", "http://1.2.3.999/", invalid("its host is not an IPv4 address")),
        ("http://a.test/", "http://a b.test/", invalid("its host is not a name")),
        ("http://a.test/", "/e\tf", invalid("it contains a control character")),
        ("http://a.test/", "java\tscript:alert(1)", invalid("it contains a control character")),
    ];
    for (from, location, expected) in rows {
        assert_eq!(get(from, location), Err(expected), "{location:?} from {from}");
    }
    let long = format!("/{}", "x".repeat(LOCATION_MAX));
    assert_eq!(get("http://a.test/", &long), Err(invalid("it is longer than 16 KiB")));
    assert!(get("http://a.test/", &long[..LOCATION_MAX]).is_ok(), "as long as is allowed");
}

#[test]
fn several_locations_must_agree_and_none_is_no_redirect() {
    let follow = |headers: &HeaderMap| {
        let from = url("http://a.test/");
        Redirects::new(10).follow(&from, &Method::GET, Replay::Empty, StatusCode::FOUND, headers)
    };
    assert_eq!(follow(&HeaderMap::new()), Ok(None), "without a Location it is the answer");
    let mut twice = to(b"/e");
    twice.append(header::LOCATION, HeaderValue::from_static("/e"));
    assert!(follow(&twice).is_ok_and(|next| next.is_some()));
    twice.append(header::LOCATION, HeaderValue::from_static("/f"));
    assert_eq!(follow(&twice), Err(Refusal::Invalid { why: "there are several that differ" }));
    assert_eq!(follow(&to(b"/\xff")), Err(Refusal::Invalid { why: "it is not UTF-8" }));
}

#[test]
fn the_number_of_redirects_is_limited_and_a_circle_is_called_one() {
    let follow = |redirects: &mut Redirects, from: &str, location: &str| {
        let location = to(location.as_bytes());
        redirects.follow(&url(from), &Method::GET, Replay::Empty, StatusCode::FOUND, &location)
    };
    let mut straight = Redirects::new(10);
    for hop in 0..10 {
        let (from, to) = (format!("http://a.test/{hop}"), format!("/{}", hop + 1));
        assert!(follow(&mut straight, &from, &to).is_ok_and(|next| next.is_some()), "hop {hop}");
    }
    let end = follow(&mut straight, "http://a.test/10", "/11");
    assert_eq!(end, Err(Refusal::TooMany { limit: 10, looped: false }));

    let mut circle = Redirects::new(2);
    assert!(follow(&mut circle, "http://a.test/a", "/b").is_ok());
    assert!(follow(&mut circle, "http://a.test/b", "/a#x").is_ok());
    let end = follow(&mut circle, "http://a.test/a#x", "/b");
    assert_eq!(end, Err(Refusal::TooMany { limit: 2, looped: true }));

    let itself = follow(&mut Redirects::new(1), "http://a.test/a", "/a");
    assert!(itself.is_ok(), "it may be different the next time");
    assert_eq!(follow(&mut Redirects::new(0), "http://a.test/a", "/b"), Ok(None), "none wanted");
    // Nor is a response an error that would not have been followed anyhow.
    assert_eq!(follow(&mut Redirects::new(0), "http://a.test/a", "ftp:x"), Ok(None));
}

const SECRETS: [&str; 7] =
    ["authorization", "cookie", "cookie2", "host", "origin", "referer", "www-authenticate"];
const OF_BODIES: [&str; 9] = [
    "content-type",
    "content-length",
    "content-encoding",
    "content-digest",
    "digest",
    "expect",
    "last-modified",
    "repr-digest",
    "trailer",
];
const OF_HOPS: [&str; 7] = [
    "connection",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "keep-alive",
];
const OTHERS: [&str; 3] = ["accept", "user-agent", "x-content-kind"];

/// What is left of all of these after `next`.
fn left(next: &Next) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for name in SECRETS.iter().chain(&OF_BODIES).chain(&OF_HOPS).chain(&OTHERS) {
        let name = HeaderName::from_static(name);
        headers.append(name.clone(), HeaderValue::from_static("one"));
        headers.append(name, HeaderValue::from_static("two"));
    }
    next.prepare(&mut headers);
    let mut left: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    left.sort();
    left
}

fn sorted(lists: &[&[&str]]) -> Vec<String> {
    let mut all: Vec<String> =
        lists.iter().flat_map(|list| list.iter()).map(|&name| name.to_owned()).collect();
    all.sort();
    all
}

#[test]
fn credentials_do_not_cross_origins_and_a_body_s_headers_go_with_it() {
    let next =
        |from: &str, location: &str, body| Next { body, ..get(from, location).expect("followed") };
    let within = |body| next("https://a.test/", "/e", body);
    assert_eq!(left(&within(NextBody::Same)), sorted(&[&OTHERS, &SECRETS, &OF_BODIES]));
    assert_eq!(left(&within(NextBody::None)), sorted(&[&OTHERS, &SECRETS]));
    let across = [
        ("http://a.test/", "http://e.test/"),
        ("http://a.test/", "http://www.a.test/"),
        ("http://www.a.test/", "http://a.test/"),
        ("http://a.test/", "http://a.test:81/"),
        ("http://a.test:443/", "https://a.test/"),
        ("http://a.test/", "https://a.test/"),
        ("http://a.test/", "//a.test./"),
        ("http://127.0.0.1/", "http://localhost/"),
        ("http://a.test/", "\\\\e.test"),
    ];
    for (from, location) in across {
        let next = |body| next(from, location, body);
        assert!(next(NextBody::Same).cross_origin, "{location} from {from}");
        assert_eq!(
            left(&next(NextBody::Same)),
            sorted(&[&OTHERS, &OF_BODIES]),
            "{location} from {from}"
        );
        assert_eq!(left(&next(NextBody::None)), sorted(&[&OTHERS]), "{location} from {from}");
    }
    for location in ["http://A.test:80/e", "?e", "http://a.test/"] {
        assert!(!get("http://a.test/", location).expect("followed").cross_origin, "{location}");
    }
}

#[test]
fn what_was_dropped_does_not_come_back() {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("secret"));
    for (from, location) in [("http://a.test/", "http://e.test/"), ("http://e.test/", "http://a.test/")]
    {
        get(from, location).expect("followed").prepare(&mut headers);
    }
    assert!(headers.is_empty());
}

#[test]
fn a_refusal_is_a_sentence() {
    let said = |refusal: Refusal| refusal.into_error("https://a.test/".to_owned());
    let error = said(Refusal::Downgrade);
    assert_eq!(error.kind(), Kind::Protocol);
    assert_eq!(
        error.to_string(),
        "request to https://a.test/ failed: its redirect is not followed: it leads from https to http"
    );
    let error = said(Refusal::TooMany { limit: 10, looped: true });
    assert_eq!(error.kind(), Kind::LimitExceeded);
    assert_eq!(
        error.to_string(),
        "request to https://a.test/ failed: its redirect is not followed: it is one more than 10, and goes round in a circle"
    );
    let error = said(Refusal::Scheme { scheme: "file".to_owned() });
    assert!(error.to_string().ends_with("it leads to file:, not to http or https"), "{error}");
}
