//! [`Origin`]: whom a URL names, and what is asked of them.

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use url::{Host, Position, Url};

use crate::error::{Error, Phase};
use crate::target::Target;

/// Scheme, host and port: what a connection is of (RFC 9110, section 4.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) https: bool,
    /// As it is looked up and verified: of an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// What makes no sense as a request.
pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::invalid(Phase::Request, why.into())
}

/// An absolute URL of HTTP.
pub(super) fn parse(text: &str) -> Result<Url, Error> {
    // The text may hold a password: the error quotes none of it.
    let url = Url::parse(text).map_err(|why| refused(format!("the URL makes no sense: {why}")))?;
    Origin::of(&url)?;
    Ok(url)
}

impl Origin {
    pub(super) fn of(url: &Url) -> Result<Origin, Error> {
        let https = match url.scheme() {
            "http" => false,
            "https" if cfg!(feature = "tls") => true,
            "https" => return Err(refused("https needs the feature `tls`, which is not enabled")),
            other => return Err(refused(format!("the scheme is {other:?}, and not http or https"))),
        };
        let host = match url.host() {
            Some(Host::Domain("")) | None => return Err(refused("the URL has no host")),
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
        };
        let port = url.port_or_known_default().unwrap_or(if https { 443 } else { 80 });
        Ok(Origin { https, host, port })
    }

    pub(super) fn target(&self) -> Target {
        Target::from((self.host.as_str(), self.port))
    }
}

/// The URL as it may be shown: without user and password, and without the fragment, which is nobody's but the caller's.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // They fail only for URLs that cannot have any.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url.into()
}

/// The host and the port, if it is not the usual one.
pub(super) fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

pub(super) fn host_header(url: &Url) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(authority(url)).map_err(|_| refused("the host is no value of a header"))
}

/// What the request line says: path and query; over HTTP/2 all of it.
pub(super) fn request_target(url: &Url, http2: bool) -> Result<Uri, Error> {
    let path: PathAndQuery = url[Position::BeforePath..Position::AfterQuery]
        .parse()
        .map_err(|why| refused(format!("the path of the URL makes no sense: {why}")))?;
    if !http2 {
        return Ok(Uri::from(path));
    }
    Uri::builder()
        .scheme(url.scheme())
        .authority(authority(url))
        .path_and_query(path)
        .build()
        .map_err(|why| refused(format!("the URL makes no sense: {why}")))
}

/// The user and password of a URL as RFC 7617 has them.
pub(super) fn basic_authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    basic(&percent_decoded(url.username()), &percent_decoded(url.password().unwrap_or_default()))
}

pub(super) fn basic(user: &[u8], password: &[u8]) -> Option<HeaderValue> {
    let plain = [user, b":", password].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", base64(&plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match (first, digit(rest.first()), digit(rest.get(1))) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                bytes = &rest[2..];
            }
            _ => plain.push(*first),
        }
    }
    plain
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(symbol) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn user_and_password_go_into_a_header_and_nowhere_else() {
        let url = parse("http://Aladdin:open%20sesame@h:8080/p?q#f").expect("a URL");
        let value = basic_authorization(&url).expect("it has them");
        assert_eq!(value.to_str().expect("text"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        assert_eq!((shown(&url).as_str(), authority(&url)), ("http://h:8080/p?q", "h:8080"));
        assert_eq!(request_target(&url, false).expect("a target"), "/p?q");
        assert_eq!(request_target(&url, true).expect("a target"), "http://h:8080/p?q");
    }

    #[test]
    fn what_is_no_url_of_http_is_refused_without_quoting_it() {
        for bad in
            ["", "secret", "ftp://user:secret@h/", "http://", "http://a b:secret/", "http://h:99999/"]
        {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let origin = Origin::of(&parse("http://[::1]:81/").expect("a URL")).expect("an origin");
        assert_eq!((origin.host.as_str(), origin.port, origin.https), ("::1", 81, false));
    }
}
