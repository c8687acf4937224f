//! What servers and users write, for fuzzers: see [`crate::rig`].

use http::header::{AUTHORIZATION, COOKIE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use super::origin::{self, Origin};
use super::redirect::Redirects;
use super::retry::Replay;

/// A URL, and what a request to it would say. Of a password nothing may be shown.
pub fn read_url(text: &str) {
    let Ok(url) = origin::parse(text) else { return };
    let asked = Origin::of(&url).expect("it has been looked at");
    let _ = asked.target().to_string();
    for http2 in [false, true] {
        let _ =
            origin::request_target(&url, http2).map(|target| assert!(!target.to_string().contains('#')));
    }
    let _ = origin::host_header(&url);
    assert!(origin::basic_authorization(&url).is_none_or(|value| value.is_sensitive()));
    let shown = Url::parse(&origin::shown(&url)).expect("what is shown is a URL");
    assert!(shown.username().is_empty() && shown.password().is_none(), "{shown}");
}

/// A response with `status` and `location` to a request with credentials for `https://a.example/p`.
pub fn follow_redirect(status: u16, location: &[u8]) {
    let Ok(status) = StatusCode::from_u16(status) else { return };
    let Ok(location) = HeaderValue::from_bytes(location) else { return };
    let url = Url::parse("https://a.example/p").expect("a URL");
    let headers = HeaderMap::from_iter([(LOCATION, location)]);
    let followed = Redirects::new(10).follow(&url, &Method::GET, Replay::Empty, status, &headers);
    let Ok(Some(next)) = followed else { return };
    let secret = HeaderValue::from_static("secret");
    let mut sent = HeaderMap::from_iter([(AUTHORIZATION, secret.clone()), (COOKIE, secret)]);
    next.prepare(&mut sent);
    assert_eq!(next.url.scheme(), "https", "it leads to {}", next.url);
    assert!(next.url.username().is_empty() && next.url.password().is_none(), "{}", next.url);
    let same = next.url.origin() == url.origin();
    assert_eq!(same, !next.cross_origin);
    assert!(same || sent.is_empty(), "credentials go to {}", next.url);
}
