//! Who may ask: nothing that a web page elsewhere, or a name that was made to point here, can send.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Method, Request};

use super::answer::{Answer, StatusCode};

/// The answer to what is not let in.
pub(super) fn refusal<B: hyper::body::Body>(request: &Request<B>, bound: SocketAddr) -> Option<Answer> {
    misdirected(request, bound)
        .or_else(|| foreign(request.headers()))
        .or_else(|| wrong_method(request.method()))
        .or_else(|| has_body(request))
}

/// DNS rebinding: a page of `evil.example` whose name has come to point to 127.0.0.1 is of the same origin as what it
/// asks, but it cannot help sending its own name (RFC 9110, section 7.4).
fn misdirected<B>(request: &Request<B>, bound: SocketAddr) -> Option<Answer> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    let host = host.and_then(|host| host.to_str().ok()).and_then(|host| host.parse().ok());
    let (Some(host), None) = (host, another) else {
        let status = StatusCode::BAD_REQUEST;
        return Some(Answer::sentence(
            status,
            "Exactly one Host header is needed, with a name or an address.",
        ));
    };
    let named: [Option<&Authority>; 2] = [Some(&host), request.uri().authority()];
    let ours = named.into_iter().flatten().all(|authority| is_ours(authority, bound));
    (!ours).then(|| {
        let sentence = format!(
            "Host \"{}\" is not this endpoint: ask for {bound}, localhost, or a loopback address.",
            host.as_str().escape_default()
        );
        Answer::sentence(StatusCode::MISDIRECTED_REQUEST, sentence)
    })
}

/// `localhost`, a literal address that is this machine's own loopback, or the one that was bound. A literal cannot be
/// rebound; of one bound to all addresses any will do.
fn is_ours(authority: &Authority, bound: SocketAddr) -> bool {
    let host = authority.host();
    if authority.as_str().contains('@') {
        return false;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => {
            let (ip, bound) = (ip.to_canonical(), bound.ip().to_canonical());
            ip.is_loopback() || ip == bound || bound.is_unspecified()
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// A page from elsewhere may send such a request, though it cannot read the answer: it is not to start profiles
/// (Fetch Metadata, W3C; every present browser says whose request it is).
fn foreign(headers: &HeaderMap) -> Option<Answer> {
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    let of_ours = |site: &hyper::header::HeaderValue| site == "none" || site == "same-origin";
    let crosses = site.is_some_and(|site| !of_ours(site));
    crosses.then(|| {
        let sentence = "Asked for by a page from elsewhere: open the address itself.";
        Answer::sentence(StatusCode::FORBIDDEN, sentence)
    })
}

fn wrong_method(method: &Method) -> Option<Answer> {
    let allowed = [Method::GET, Method::HEAD].contains(method);
    (!allowed).then(|| {
        let sentence = "Nothing can be changed here: GET and HEAD are all there is.";
        Answer::sentence(StatusCode::METHOD_NOT_ALLOWED, sentence).with(header::ALLOW, "GET, HEAD")
    })
}

fn has_body<B: hyper::body::Body>(request: &Request<B>) -> Option<Answer> {
    (!request.body().is_end_stream()).then(|| {
        let sentence = "A request here has no body.";
        Answer::sentence(StatusCode::PAYLOAD_TOO_LARGE, sentence).with(header::CONNECTION, "close")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_ours() {
        let bound = "127.0.0.1:6070".parse().expect("an address");
        let ours = |host: &str| host.parse().is_ok_and(|host| is_ours(&host, bound));
        for host in
            ["127.0.0.1", "127.0.0.1:6070", "127.9.9.9:1", "localhost", "LocalHost:80", "[::1]:6070"]
        {
            assert!(ours(host), "{host}");
        }
        let others = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "0.0.0.0",
            "2130706433",
            "127.1",
            "localhost.",
            "me@localhost",
            "[::2]",
            "",
            "[::1",
            "0x7f.0.0.1",
            "[::ffff:10.0.0.1]",
        ];
        for host in others {
            assert!(!ours(host), "{host}");
        }
        let bound = "10.0.0.1:6070".parse().expect("an address");
        let ours = |host: &str| host.parse().is_ok_and(|host| is_ours(&host, bound));
        assert!(
            ours("10.0.0.1:6070") && ours("localhost") && !ours("10.0.0.2") && !ours("evil.example")
        );
        let bound = "[::]:6070".parse().expect("an address");
        let ours = |host: &str| host.parse().is_ok_and(|host| is_ours(&host, bound));
        assert!(ours("192.0.2.7") && ours("[2001:db8::1]:6070") && !ours("evil.example"));
    }
}
