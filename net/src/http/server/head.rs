//! [`Heads`]: what hyper lets pass in the head of a request, and another on the way may read otherwise.
//!
//! hyper takes a bare LF for the end of a line, and of a `Content-Length` beside a `Transfer-Encoding` it keeps nothing.
//! RFC 9112 allows both (sections 2.2 and 6.3), and both have smuggled requests past a proxy that reads them in another
//! way. Of a target with a fragment, which no target has (section 3.2), it keeps what stands before that. Here such a request
//! is refused, and the connection with it.

use super::framing::{Framing, Skipped};

/// The heads that are being received, as they came: mostly one, several if they were sent at once.
#[derive(Default)]
pub(super) struct Heads {
    seen: Vec<u8>,
    /// There may be a `#` in what was seen.
    has_hash: bool,
    /// What is left of the body of the request that was taken last: the next head stands behind it.
    body: Option<Framing>,
    /// The last of what was seen has been taken for a request.
    taken: bool,
    /// The request that was taken last is one that could be read in another way.
    in_doubt: bool,
    /// The next one will be: its beginning came with the end of a body, which is the handler's all the same.
    next_in_doubt: bool,
}

/// More of what was sent at once is not kept, in bytes.
const SEEN_MAX: usize = 128 * 1024;

impl Heads {
    /// A request was made of what has come.
    #[inline]
    pub(super) fn taken(&mut self, has_body: bool) {
        self.taken = !has_body;
        self.in_doubt = std::mem::take(&mut self.next_in_doubt) || self.has_hash && self.has_fragment();
        if has_body {
            self.pass_body();
        }
    }

    /// Keeps of what was seen what stands behind the body, or notes what is left of that.
    fn pass_body(&mut self) {
        let mut rest = &self.seen[..];
        while !rest.is_empty() {
            let (head, behind) = split_head(rest);
            rest = behind;
            let Some(mut framing) = Framing::of(head) else { continue };
            self.in_doubt |= has_field(head, b"transfer-encoding") && has_field(head, b"content-length");
            match framing.skip(behind) {
                // It has been looked at when it came, but for what only shows now: that a CR is the last of the body.
                Skipped::Ended(next) => {
                    self.next_in_doubt = next.first() == Some(&b'\n');
                    self.seen = next.to_vec();
                }
                // A bare LF in it has been seen when it came.
                Skipped::GoesOn | Skipped::BareLineFeed => {
                    self.seen.clear();
                    self.body = Some(framing);
                }
            }
            return;
        }
        // More was sent at once than is kept.
        self.seen.clear();
        self.body = Some(Framing::Unknown);
    }

    /// Takes note of what has come, of a body or of a head and of what came with that. Returns whether all lines of heads
    /// end in CRLF; of what comes with the end of a body it is told when it is [taken](Heads::are_in_doubt).
    #[inline]
    pub(super) fn received(&mut self, bytes: &[u8]) -> bool {
        if self.body.is_none() {
            return bytes.is_empty() || self.received_of_heads(bytes);
        }
        self.received_of_body(bytes)
    }

    #[inline(never)]
    fn received_of_body(&mut self, bytes: &[u8]) -> bool {
        let Some(body) = &mut self.body else { return true };
        match body.skip(bytes) {
            Skipped::GoesOn => {}
            Skipped::BareLineFeed => (self.body, self.next_in_doubt) = (Some(Framing::Unknown), true),
            Skipped::Ended(behind) => {
                self.body = None;
                self.next_in_doubt = !behind.is_empty() && !self.received_of_heads(behind);
            }
        }
        true
    }

    #[inline]
    fn received_of_heads(&mut self, bytes: &[u8]) -> bool {
        match std::mem::take(&mut self.taken) {
            true if self.seen.ends_with(b"\r\n\r\n") => {
                self.seen.clear();
                self.has_hash = false;
            }
            _ if self.seen.len() > SEEN_MAX => drop(self.seen.drain(..self.seen.len() - SEEN_MAX / 2)),
            _ => {}
        }
        let from = self.seen.len().saturating_sub(1);
        self.seen.extend_from_slice(bytes);
        // All at once is far cheaper than a line at a time, and mostly there is nothing to see.
        !is_remarkable(&self.seen[from..], from == 0) || self.is_fine_from(from)
    }

    #[cold]
    fn is_fine_from(&mut self, from: usize) -> bool {
        let come = &self.seen[from..];
        self.has_hash |= come.contains(&b'#');
        !has_bare_line_feed(come, from == 0) || !self.any_head(|head| has_bare_line_feed(head, true))
    }

    /// Whether the target of a request that was seen has a fragment.
    #[cold]
    fn has_fragment(&self) -> bool {
        self.any_head(|head| target(head).is_some_and(|target| target.contains(&b'#')))
    }

    /// Whether a head that was seen `is` so, or trailers have a bare LF. What is in a body is no head.
    fn any_head(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut rest = &self.seen[..];
        while !rest.is_empty() {
            let (head, behind) = split_head(rest);
            if is(head) {
                return true;
            }
            rest = match Framing::of(head).map(|mut body| body.skip(behind)) {
                None => behind,
                Some(Skipped::Ended(next)) => next,
                Some(Skipped::GoesOn) => return false,
                Some(Skipped::BareLineFeed) => return true,
            };
        }
        false
    }

    /// Whether the request that was taken last has both a `Transfer-Encoding` and a `Content-Length`, or a bare LF for the end
    /// of a line that came with the end of the body before; or it, or one that came with it, a target with a fragment.
    pub(super) fn are_in_doubt(&self) -> bool {
        self.in_doubt
    }
}

/// A bare LF, or a `#`, which no target begins with.
#[inline]
fn is_remarkable(bytes: &[u8], at_the_beginning: bool) -> bool {
    begins_bare(bytes, at_the_beginning)
        || any_pair(bytes, |before, this| is_bare(before, this) | u8::from(this == b'#'))
}

/// An LF that no CR precedes; whether one may be the first byte is said by `at_the_beginning`.
fn has_bare_line_feed(bytes: &[u8], at_the_beginning: bool) -> bool {
    begins_bare(bytes, at_the_beginning) || any_pair(bytes, is_bare)
}

#[inline]
fn begins_bare(bytes: &[u8], at_the_beginning: bool) -> bool {
    at_the_beginning && bytes.first() == Some(&b'\n')
}

#[inline]
fn is_bare(before: u8, this: u8) -> u8 {
    u8::from(this == b'\n') & u8::from(before != b'\r')
}

/// Whether two neighbours are so that `is` is not zero.
#[inline]
fn any_pair(bytes: &[u8], is: impl Fn(u8, u8) -> u8) -> bool {
    let any =
        |before: &[u8], these: &[u8]| before.iter().zip(these).fold(0, |any, (b, t)| any | is(*b, *t));
    let (before, these) = (bytes, bytes.get(1..).unwrap_or_default());
    // Without a branch, so that it is done for sixteen at once; the last sixteen are some of those before again.
    let (Some(last_before), Some(last_these)) =
        (before[..these.len()].last_chunk::<16>(), these.last_chunk::<16>())
    else {
        return any(before, these) != 0;
    };
    let sixteens = before.chunks_exact(16).zip(these.chunks_exact(16));
    sixteens.fold(any(last_before, last_these), |found, (before, these)| found | any(before, these)) != 0
}

/// The second word of a head.
fn target(head: &[u8]) -> Option<&[u8]> {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\n').next()?;
    line.split(|byte| *byte == b' ').nth(1)
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

    /// Whether a request behind that with `body` is let pass, for each place where all of it may be cut in two. Requests are
    /// taken as soon as their heads are whole.
    fn are_fine_behind_a_body(body: &str, behind: &str) -> Vec<bool> {
        let first = format!("POST / HTTP/1.1\r\nhost: a\r\n{body}");
        let (sent, head) = (format!("{first}{behind}"), first.find("\r\n\r\n").expect("a head") + 4);
        let is_fine = |cut: usize| {
            let (mut heads, mut taken) = (Heads::default(), false);
            for part in [0..cut, cut..sent.len()] {
                if !heads.received(&sent.as_bytes()[part.clone()]) {
                    return false;
                }
                if !taken && part.end >= head {
                    taken = true;
                    heads.taken(true);
                    assert!(!heads.are_in_doubt(), "the first is fine");
                }
            }
            heads.taken(false);
            !heads.are_in_doubt()
        };
        (1..sent.len()).map(is_fine).collect()
    }

    #[test]
    fn p12_a_bare_line_feed_behind_a_body_is_seen_wherever_it_is_cut() {
        let bodies = [
            "content-length: 3\r\n\r\na\nb",
            "content-length: 2\r\n\r\na\r",
            "transfer-encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\nt: v\r\n\r\n",
        ];
        for body in bodies {
            let fine = are_fine_behind_a_body(body, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            assert!(fine.iter().all(|fine| *fine), "{body:?}: {fine:?}");
            for bad in ["GET / HTTP/1.1\nhost: a\r\n\r\n", "\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
                let fine = are_fine_behind_a_body(body, bad);
                assert!(fine.iter().all(|fine| !fine), "{body:?} {bad:?}: {fine:?}");
            }
        }
    }

    #[test]
    fn p12_a_fragment_in_a_target_is_seen_wherever_it_is_cut() {
        let is_seen = |sent: &str, cut: usize, has_body: bool| {
            let mut heads = Heads::default();
            for part in [&sent[..cut], &sent[cut..]] {
                assert!(heads.received(part.as_bytes()));
            }
            heads.taken(has_body);
            heads.are_in_doubt()
        };
        let long = "a".repeat(40);
        for target in ["/a#b", "/#", "http://a/b?c#d", "#", &format!("/{long}#{long}")] {
            let sent = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
            assert!((0..sent.len()).all(|cut| is_seen(&sent, cut, false)), "{target}");
            let sent = format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{sent}");
            assert!(is_seen(&sent, 0, false), "{target}, the second of two that were sent at once");
        }
        let fine = "POST /a HTTP/1.1\r\nhost: a\r\nx: #y\r\ncontent-length: 10\r\n\r\nGET /#b HT";
        assert!((0..fine.len()).all(|cut| !is_seen(fine, cut, true)), "headers and bodies may have one");
    }

    #[test]
    fn p12_two_framings_are_seen() {
        let framed_twice = |head: &str| {
            let mut heads = Heads::default();
            heads.received(head.as_bytes());
            heads.taken(true);
            heads.are_in_doubt()
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
        assert!(!framed_twice(
            "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nabPOST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        ));
    }
}
