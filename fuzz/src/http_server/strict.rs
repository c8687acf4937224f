//! A second reader of HTTP/1 requests, slow and strict (RFC 9112): it takes what nobody could read otherwise, and
//! stops at everything else. No handler may see a request that it did not see in the same place.

/// Holds what handlers saw against what was `sent`.
///
/// # Panics
/// If they saw anything else.
pub(super) fn check(sent: &[u8], seen: &[(String, String)]) {
    let mut reader = Reader { rest: sent };
    for (method, target) in seen {
        let (own_method, own_target) = reader.request().unwrap_or_else(|| {
            panic!("the handler saw {method} {target:?}, which nobody sent in {}", sent.escape_ascii())
        });
        assert_eq!((&own_method, &own_target), (method, target), "in {}", sent.escape_ascii());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// Where a body ends.
enum Body {
    Length(u64),
    Chunked,
}

impl<'a> Reader<'a> {
    /// Method and target of the next one.
    fn request(&mut self) -> Option<(String, String)> {
        // Section 2.2: empty lines before a request are passed over.
        while let Some(rest) = self.rest.strip_prefix(b"\r\n") {
            self.rest = rest;
        }
        let line = str::from_utf8(self.line()?).ok()?;
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return None;
        }
        let request = (method.to_owned(), normal(target));
        let body = self.headers()?;
        self.skip(&body);
        Some(request)
    }

    /// A line that ends with CR LF, and has neither in it.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = self.rest[..end].strip_suffix(b"\r")?;
        self.rest = &self.rest[end + 1..];
        (!line.contains(&b'\r')).then_some(line)
    }

    fn headers(&mut self) -> Option<Body> {
        let (mut lengths, mut codings) = (Vec::new(), Vec::new());
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.is_empty() || name.iter().any(|byte| !is_token(*byte)) {
                return None;
            }
            if name.eq_ignore_ascii_case(b"content-length") {
                lengths.push(value);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                codings.push(value);
            }
        }
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Some(Body::Length(0)),
            // Section 6.3: if all say the same, it is that. Who does not read it so refuses it.
            ([length, others @ ..], []) => {
                let length = number(length, 10)?;
                let agree = others.iter().all(|other| number(other, 10) == Some(length));
                agree.then_some(Body::Length(length))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(Body::Chunked),
            _ => None,
        }
    }

    /// Goes on behind the body; where it is not whole, there is nothing behind it.
    fn skip(&mut self, body: &Body) {
        let behind = match body {
            Body::Length(length) => {
                usize::try_from(*length).ok().and_then(|length| self.rest.get(length..))
            }
            Body::Chunked => self.chunks(),
        };
        self.rest = behind.unwrap_or_default();
    }

    fn chunks(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.line()?;
            let size = line.split(|byte| *byte == b';').next()?;
            let size = usize::try_from(number(size.trim_ascii_end(), 16)?).ok()?;
            if size == 0 {
                break;
            }
            self.rest = self.rest.get(size..)?.strip_prefix(b"\r\n")?;
        }
        // Trailers.
        while !self.line()?.is_empty() {}
        Some(self.rest)
    }
}

/// A target as handlers see it: of a whole URL, the scheme in small letters if it is one of HTTP's, and an empty path as `/` (RFC
/// 9110, section 4.2.3).
fn normal(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        return target.to_owned();
    };
    let known = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{authority}{slash}{path}", known.unwrap_or(scheme))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits and nothing else.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(|byte| char::from(*byte).is_digit(radix));
    digits.then(|| u64::from_str_radix(str::from_utf8(text).ok()?, radix).ok())?
}
