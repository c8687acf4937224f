//! [`Framing`]: where the body of a request ends (RFC 9112, section 6), so that it is known where the next head begins.

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked(Chunk),
    /// It cannot be told: hyper will find out, and end the connection.
    Unknown,
}

/// Where in a chunked body (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The size, as far as its digits have come.
    Size(Option<u64>),
    /// Behind the size, with what follows up to the line's end.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// At the first byte of a line of trailers, or of the empty line behind them.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

/// How far a body goes into some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped<'a> {
    /// It has ended, and this stands behind it.
    Ended(&'a [u8]),
    /// There is more to come of it.
    GoesOn,
    /// A line of trailers ends in a bare LF.
    BareLineFeed,
}

impl Framing {
    /// That of the request with this head; `None` if no body follows.
    pub(super) fn of(head: &[u8]) -> Option<Framing> {
        if let Some(coding) = field(head, b"transfer-encoding") {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            return Some(if chunked { Framing::Chunked(Chunk::Size(None)) } else { Framing::Unknown });
        }
        let length =
            str::from_utf8(field(head, b"content-length")?).ok().and_then(|text| text.parse().ok());
        match length {
            Some(0) => None,
            Some(length) => Some(Framing::Length(length)),
            None => Some(Framing::Unknown),
        }
    }

    /// Goes on over `bytes`.
    pub(super) fn skip<'a>(&mut self, mut bytes: &'a [u8]) -> Skipped<'a> {
        loop {
            match self {
                Framing::Unknown => return Skipped::GoesOn,
                Framing::Length(left) => {
                    return match skip_data(left, bytes) {
                        Some(rest) => Skipped::Ended(rest),
                        None => Skipped::GoesOn,
                    };
                }
                Framing::Chunked(Chunk::Data(left)) => match skip_data(left, bytes) {
                    Some(rest) => {
                        bytes = rest;
                        *self = Framing::Chunked(Chunk::DataCr);
                    }
                    None => return Skipped::GoesOn,
                },
                Framing::Chunked(chunk) => {
                    let Some((&byte, rest)) = bytes.split_first() else { return Skipped::GoesOn };
                    bytes = rest;
                    if matches!(chunk, Chunk::Trailer | Chunk::TrailerStart) && byte == b'\n' {
                        return Skipped::BareLineFeed;
                    }
                    if *chunk == Chunk::EndLf && byte == b'\n' {
                        return Skipped::Ended(rest);
                    }
                    *self = chunk.next(byte).map_or(Framing::Unknown, Framing::Chunked);
                }
            }
        }
    }
}

impl Chunk {
    /// After `byte`, which is not of its data; `None` if that cannot be there.
    fn next(self, byte: u8) -> Option<Chunk> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        match (self, byte) {
            (Chunk::Size(size), _) if digit.is_some() => {
                let size = size.unwrap_or(0).checked_mul(16)?.checked_add(digit?)?;
                Some(Chunk::Size(Some(size)))
            }
            (Chunk::Size(Some(size)) | Chunk::Extension(size), b'\r') => Some(Chunk::SizeLf(size)),
            (Chunk::Size(Some(size)), b' ' | b'\t' | b';') => Some(Chunk::Extension(size)),
            (Chunk::Extension(size), _) if byte != b'\n' => Some(Chunk::Extension(size)),
            (Chunk::SizeLf(0), b'\n') => Some(Chunk::TrailerStart),
            (Chunk::SizeLf(size), b'\n') => Some(Chunk::Data(size)),
            (Chunk::DataCr, b'\r') => Some(Chunk::DataLf),
            (Chunk::DataLf, b'\n') => Some(Chunk::Size(None)),
            (Chunk::TrailerStart, b'\r') => Some(Chunk::EndLf),
            (Chunk::Trailer, b'\r') => Some(Chunk::TrailerLf),
            (Chunk::TrailerStart | Chunk::Trailer, _) => Some(Chunk::Trailer),
            (Chunk::TrailerLf, b'\n') => Some(Chunk::TrailerStart),
            _ => None,
        }
    }
}

/// What stands behind the `left` bytes, if all of them are there.
fn skip_data<'a>(left: &mut u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match usize::try_from(*left).ok().and_then(|left| bytes.get(left..)) {
        Some(rest) => Some(rest),
        None => {
            *left -= bytes.len() as u64;
            None
        }
    }
}

/// The value of the first such field of a head.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let is = line.get(..name.len()).is_some_and(|is| is.eq_ignore_ascii_case(name));
        let value = line.get(name.len()..)?.strip_prefix(b":")?;
        is.then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(head: &str) -> Option<Framing> {
        Framing::of(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n").as_bytes())
    }

    #[test]
    fn p12_a_head_says_where_its_body_ends() {
        assert_eq!(framing("accept: b"), None);
        assert_eq!(framing("content-length: 0"), None);
        assert_eq!(framing("Content-LENGTH:\t5 "), Some(Framing::Length(5)));
        assert_eq!(framing("Transfer-Encoding: Chunked"), Some(Framing::Chunked(Chunk::Size(None))));
        assert_eq!(framing("transfer-encoding: gzip, chunked"), Some(Framing::Unknown));
        assert_eq!(framing("content-length: 99999999999999999999"), Some(Framing::Unknown));
    }

    #[test]
    fn p12_what_stands_behind_a_body_is_found_wherever_it_is_cut() {
        for (head, body) in [
            ("content-length: 4", "ab\n\n"),
            ("transfer-encoding: chunked", "0\r\n\r\n"),
            (
                "transfer-encoding: chunked",
                "2 ;a=\"b\"\r\n\n\n\r\n0a\r\n0123456789\r\n0\r\nt: v\r\nu:\r\n\r\n",
            ),
        ] {
            let sent = format!("{body}GET /next");
            for cut in 0..body.len() {
                let mut left = framing(head).expect("it has a body");
                assert_eq!(left.skip(&sent.as_bytes()[..cut]), Skipped::GoesOn, "{body:?} at {cut}");
                assert_eq!(
                    left.skip(&sent.as_bytes()[cut..]),
                    Skipped::Ended(b"GET /next"),
                    "{body:?} at {cut}"
                );
            }
        }
    }

    #[test]
    fn p12_a_bare_line_feed_in_trailers_is_seen_and_what_is_no_chunk_is_left_to_hyper() {
        let skip =
            |body: &'static [u8]| framing("transfer-encoding: chunked").expect("a body").skip(body);
        assert_eq!(skip(b"0\r\na: b\nc: d\r\n\r\n"), Skipped::BareLineFeed);
        assert_eq!(skip(b"0\r\n\n"), Skipped::BareLineFeed);
        for bad in
            [&b"x\r\n"[..], b"2\r\nabc", b"2\nab", b"\r\n", b"ffffffffffffffffff\r\n", b"2;a\n\r\nab"]
        {
            assert_eq!(skip(bad), Skipped::GoesOn, "{}", bad.escape_ascii());
        }
    }
}
