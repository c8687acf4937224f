//! [`Heads`]: what hyper lets pass in the head of a request, and another on the way may read otherwise.
//!
//! hyper takes a bare LF for the end of a line, and of a `Content-Length` beside a `Transfer-Encoding` it keeps nothing.
//! RFC 9112 allows both (sections 2.2 and 6.3), and both have smuggled requests past a proxy that reads them in another
//! way. Here such a request is refused, and the connection with it.

/// The heads that are being received, as they came: mostly one, several if they were sent at once.
#[derive(Default)]
pub(super) struct Heads {
    seen: Vec<u8>,
    /// The last of what was seen has been taken for a request; whether with a body.
    taken: Option<bool>,
}

/// More of what was sent at once is not kept, in bytes.
const SEEN_MAX: usize = 128 * 1024;

impl Heads {
    /// A request was made of what has come.
    pub(super) fn taken(&mut self, has_body: bool) {
        self.taken = Some(has_body);
    }

    /// Takes note of what has come of the head, and of what came with it. Whether all lines of it end in CRLF.
    pub(super) fn received(&mut self, bytes: &[u8]) -> bool {
        match self.taken.take() {
            Some(has_body) if has_body || self.seen.ends_with(b"\r\n\r\n") => self.seen.clear(),
            _ if self.seen.len() > SEEN_MAX => drop(self.seen.drain(..self.seen.len() - SEEN_MAX / 2)),
            _ => {}
        }
        let from = self.seen.len().saturating_sub(1);
        self.seen.extend_from_slice(bytes);
        // All at once is far cheaper than a line at a time, and mostly there is nothing to see.
        !has_bare_line_feed(&self.seen[from..], from == 0) || !self.heads_have_bare_line_feeds()
    }

    /// Whether a bare LF is in a head, and not in the body behind it.
    fn heads_have_bare_line_feeds(&self) -> bool {
        let mut rest = &self.seen[..];
        while !rest.is_empty() {
            let (head, behind) = split_head(rest);
            if has_bare_line_feed(head, true) {
                return true;
            }
            if has_field(head, b"content-length") || has_field(head, b"transfer-encoding") {
                // What follows is the body. What follows that cannot be told without reading it.
                return false;
            }
            rest = behind;
        }
        false
    }

    /// Whether a head with a `Transfer-Encoding` has a `Content-Length` too.
    pub(super) fn is_framed_twice(&self) -> bool {
        let mut rest = &self.seen[..];
        while !rest.is_empty() {
            let (head, behind) = split_head(rest);
            if has_field(head, b"transfer-encoding") && has_field(head, b"content-length") {
                return true;
            }
            rest = behind;
        }
        false
    }
}

/// An LF that no CR precedes; whether one may be the first byte is said by `at_the_beginning`.
fn has_bare_line_feed(bytes: &[u8], at_the_beginning: bool) -> bool {
    let first = at_the_beginning && bytes.first() == Some(&b'\n');
    let (before, these) = (bytes, bytes.get(1..).unwrap_or_default());
    // Without a branch, so that it is done for sixteen at once; the last sixteen are some of those before again.
    let (Some(last_before), Some(last_these)) =
        (before[..these.len()].last_chunk::<16>(), these.last_chunk::<16>())
    else {
        return first || is_bare(before, these) != 0;
    };
    let sixteens = before.chunks_exact(16).zip(these.chunks_exact(16));
    let bare = sixteens
        .fold(is_bare(last_before, last_these), |bare, (before, these)| bare | is_bare(before, these));
    first || bare != 0
}

#[inline]
fn is_bare(before: &[u8], these: &[u8]) -> u8 {
    before
        .iter()
        .zip(these)
        .fold(0, |bare, (before, this)| bare | (u8::from(*this == b'\n') & u8::from(*before != b'\r')))
}

/// A head with the empty line behind it, and the rest.
fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut line = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        let text = &bytes[line..at];
        line = at + 1;
        // Empty lines before a request are passed over (RFC 9112, section 2.2).
        let leads = bytes[..at].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if matches!(text, b"" | b"\r") && !leads {
            break;
        }
    }
    if line == 0 { (bytes, &[]) } else { bytes.split_at(line) }
}

fn has_field(head: &[u8], name: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let (is, rest) = (line.get(..name.len()), line.get(name.len()));
        is.is_some_and(|is| is.eq_ignore_ascii_case(name)) && rest == Some(&b':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(parts: &[&str]) -> bool {
        let mut heads = Heads::default();
        parts.iter().all(|part| heads.received(part.as_bytes()))
    }

    #[test]
    fn p12_a_bare_line_feed_is_seen_wherever_it_is_cut() {
        let fine = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        for bad in [
            "GET / HTTP/1.1\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
        ] {
            for cut in 0..bad.len() {
                assert!(!is_fine(&[&bad[..cut], &bad[cut..]]), "{bad:?} at {cut}");
            }
        }
        for cut in 0..fine.len() {
            assert!(is_fine(&[&fine[..cut], &fine[cut..]]), "{cut}");
        }
        assert!(!is_fine(&[fine, "GET / HTTP/1.1\n\n"]), "the second of two that were sent at once");
        assert!(
            is_fine(&["POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n\n\n"]),
            "a body may have any bytes"
        );
    }

    #[test]
    fn p12_two_framings_are_seen() {
        let framed_twice = |head: &str| {
            let mut heads = Heads::default();
            heads.received(head.as_bytes());
            heads.is_framed_twice()
        };
        assert!(framed_twice(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTRANSFER-encoding: chunked\r\n\r\n"
        ));
        assert!(framed_twice(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n"
        ));
        assert!(!framed_twice(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\ncontent-length: 5\r\n\r\n"
        ));
        assert!(!framed_twice("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"));
    }
}
