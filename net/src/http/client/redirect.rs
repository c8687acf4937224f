//! Redirects: what a response makes of the request that it answers.
//!
//! Pure rules; [`client`](super) applies them after each response:
//!
//! ```text
//!  let mut redirects = Redirects::new(10);                      // one for each request of the caller's
//!  loop {
//!      let response = send(&method, &url, &headers, body).await?;      // all hops under one total deadline
//!      match redirects.follow(&url, &method, replay, response.status(), response.headers())? {
//!          None => return Ok(response),                         // the answer
//!          Some(next) => {
//!              next.prepare(&mut headers);                      // what is dropped here stays dropped
//!              if next.body == NextBody::None { body = empty }  // else the same bytes again
//!              (method, url) = (next.method, next.url);
//!          }
//!      }
//!  }
//! ```
//!
//! What *cannot* be followed for want of something (no `Location`, a body that is used up) is an answer like any other: its
//! caller sees a 3xx status. What *must not* be followed, for what the peer says in it, is an error: [`Refusal`].
//!
//! | status | method | body |
//! |---|---|---|
//! | 301, 302 | `POST` becomes `GET`, all others stay | dropped with the change, else sent again |
//! | 303 | `HEAD` stays, all others become `GET` | dropped |
//! | 307, 308 | stays | sent again |
//! | all others | not followed | |
//!
//! That is RFC 9110, section 15.4, and where it leaves a choice, the [fetch standard](https://fetch.spec.whatwg.org/#http-redirect-fetch).

use std::fmt;

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use url::{Origin, Url};

use super::retry::Replay;
use crate::error::{Error, Kind, Phase};

/// The longest `Location` that is followed, in bytes. RFC 9110, section 4.1, asks for 8000 at least.
const LOCATION_MAX: usize = 16 * 1024;

/// The hops of one request of the caller's.
#[derive(Debug)]
pub(crate) struct Redirects {
    limit: usize,
    /// What has been asked for so far, without the last.
    asked: Vec<(Method, Url)>,
}

/// The request that follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) method: Method,
    /// With the fragment of the URL before, if it has none of its own (RFC 9110, section 10.2.2). Without a user or a
    /// password: those of the URL before are `client`'s to turn into an `Authorization`, which is kept within the origin.
    pub(crate) url: Url,
    pub(crate) body: NextBody,
    /// Whether scheme, host or port are others than before.
    pub(crate) cross_origin: bool,
}

/// What becomes of the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextBody {
    /// There is none, or none any more.
    None,
    /// The same bytes again.
    Same,
}

/// Why a redirect was not followed, though it said where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There have been as many redirects as are allowed. `looped`: the same had been asked for before.
    TooMany { limit: usize, looped: bool },
    /// The `Location` is not a URL, or there are several that differ.
    Invalid { why: &'static str },
    /// It leads to something else than HTTP.
    Scheme { scheme: String },
    /// It leads from https to http: who listens on the way would see what was asked for in private, and could answer.
    Downgrade,
    /// It holds a user's name or password. RFC 9110, section 4.2.4: from a source that is not trusted, an error.
    UserInfo,
}

impl Redirects {
    /// At most `limit` of them; 0: no response is followed, and none is an error.
    pub(crate) fn new(limit: usize) -> Redirects {
        Redirects { limit, asked: Vec::new() }
    }

    /// What follows after `method` of `url`, whose body was `replay`, has been answered by `status` and `headers`.
    ///
    /// # Errors
    /// If it says where to go on, and must not be followed.
    pub(crate) fn follow(
        &mut self,
        url: &Url,
        method: &Method,
        replay: Replay,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Next>, Refusal> {
        if self.limit == 0 || *method == Method::CONNECT {
            return Ok(None);
        }
        let Some((method_next, body)) = rewritten(method, replay, status) else { return Ok(None) };
        let Some(location) = location(headers)? else { return Ok(None) };
        let url_next = resolved(url, location)?;
        if body == NextBody::Same && replay == Replay::Never {
            return Ok(None);
        }
        self.asked.push((method.clone(), without_fragment(url)));
        if self.asked.len() > self.limit {
            let looped = self.asked.contains(&(method_next, without_fragment(&url_next)));
            return Err(Refusal::TooMany { limit: self.limit, looped });
        }
        let cross_origin = !same_origin(url, &url_next);
        Ok(Some(Next { method: method_next, url: url_next, body, cross_origin }))
    }
}

impl Next {
    /// Takes from `headers`, those of the request before, what must not go along:
    ///
    /// - across origins (scheme, host or port: [RFC 6454](https://www.rfc-editor.org/rfc/rfc6454)) credentials, cookies,
    ///   where the request came from and a `Host` of the caller's. From `http://a` to `https://a` is across origins too;
    /// - what describes a body, if it goes on without one (RFC 9110, section 15.4, point 5);
    /// - in any case a `Proxy-Authorization`, and what belonged to the connection before (points 1 and 2).
    ///
    /// Call it on the headers of each hop in turn: so what was dropped does not come back, even if a redirect leads
    /// back to where it began.
    pub(crate) fn prepare(&self, headers: &mut HeaderMap) {
        OF_THE_CONNECTION.iter().for_each(|name| remove(headers, name));
        if self.cross_origin {
            OF_THE_ORIGIN.iter().for_each(|name| remove(headers, name));
        }
        if self.body == NextBody::None {
            OF_THE_BODY.iter().for_each(|name| remove(headers, name));
            let content = |name: &&HeaderName| name.as_str().starts_with("content-");
            let described: Vec<HeaderName> = headers.keys().filter(content).cloned().collect();
            described.iter().for_each(|name| remove(headers, name));
        }
    }
}

const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
];

const OF_THE_ORIGIN: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("cookie2"),
    header::HOST,
    header::ORIGIN,
    header::REFERER,
    header::WWW_AUTHENTICATE,
];

/// Beside all whose name begins with `content-`.
const OF_THE_BODY: [HeaderName; 5] = [
    HeaderName::from_static("digest"),
    header::EXPECT,
    header::LAST_MODIFIED,
    HeaderName::from_static("repr-digest"),
    header::TRAILER,
];

fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
}

/// The method that goes on and what becomes of the body, if `status` redirects.
fn rewritten(method: &Method, replay: Replay, status: StatusCode) -> Option<(Method, NextBody)> {
    let changed = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => true,
        307 | 308 => false,
        _ => return None,
    };
    if changed {
        let method = if *method == Method::HEAD { Method::HEAD } else { Method::GET };
        return Some((method, NextBody::None));
    }
    let body = if replay == Replay::Empty { NextBody::None } else { NextBody::Same };
    Some((method.clone(), body))
}

/// The one `Location` there is; the same one twice is one.
fn location(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut all = headers.get_all(header::LOCATION).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.any(|another| another != first) {
        return Err(Refusal::Invalid { why: "there are several that differ" });
    }
    if first.len() > LOCATION_MAX {
        return Err(Refusal::Invalid { why: "it is longer than 16 KiB" });
    }
    let text = std::str::from_utf8(first.as_bytes());
    let text = text.map_err(|_| Refusal::Invalid { why: "it is not UTF-8" })?;
    // A parser of URLs would take it out, and read another one than is written there.
    if text.contains(char::is_control) {
        return Err(Refusal::Invalid { why: "it contains a control character" });
    }
    Ok(Some(text))
}

/// Where `location` leads from `url`.
fn resolved(url: &Url, location: &str) -> Result<Url, Refusal> {
    // A relative one would take over the user of its base, and be taken for one that names it.
    let mut base = url.clone();
    let anonymous = base.set_username("").and_then(|()| base.set_password(None));
    anonymous.map_err(|()| Refusal::Invalid { why: "it is not a URL" })?;
    let mut next = base.join(location).map_err(|error| Refusal::Invalid { why: said(error) })?;
    match (url.scheme(), next.scheme()) {
        ("https", "http") => return Err(Refusal::Downgrade),
        (_, "http" | "https") => {}
        (_, scheme) => return Err(Refusal::Scheme { scheme: scheme.to_owned() }),
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err(Refusal::UserInfo);
    }
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Ok(next)
}

fn said(error: url::ParseError) -> &'static str {
    match error {
        url::ParseError::EmptyHost => "it has no host",
        url::ParseError::IdnaError => "its host is not a name",
        url::ParseError::InvalidPort => "its port is not a number from 0 to 65535",
        url::ParseError::InvalidIpv4Address => "its host is not an IPv4 address",
        url::ParseError::InvalidIpv6Address => "its host is not an IPv6 address",
        url::ParseError::Overflow => "it is too long",
        _ => "it is not a URL",
    }
}

/// The same scheme, host and port.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    match (one.origin(), other.origin()) {
        (one @ Origin::Tuple(..), other) => one == other,
        (Origin::Opaque(_), _) => false,
    }
}

fn without_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

impl Refusal {
    /// As the end of a request to `target`.
    pub(crate) fn into_error(self, target: String) -> Error {
        let kind = match self {
            Refusal::TooMany { .. } => Kind::LimitExceeded,
            _ => Kind::Protocol,
        };
        Error::new(kind, Phase::Request).because(std::io::Error::other(self)).with_target(target)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its redirect is not followed: ")?;
        match self {
            Refusal::TooMany { limit, looped: false } => write!(f, "it is one more than {limit}"),
            Refusal::TooMany { limit, looped: true } => {
                write!(f, "it is one more than {limit}, and goes round in a circle")
            }
            Refusal::Invalid { why } => write!(f, "its Location makes no sense: {why}"),
            Refusal::Scheme { scheme } => write!(f, "it leads to {scheme}:, not to http or https"),
            Refusal::Downgrade => f.write_str("it leads from https to http"),
            Refusal::UserInfo => f.write_str("its Location holds the name or password of a user"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
