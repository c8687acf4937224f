//! From the path of a URL to a path below the root, and back.

use std::fmt::Write;
use std::path::PathBuf;

/// The path below the root that `path` names; `None` if it names what is not to be seen: `..` and other names that
/// begin with a dot, and whatever is no name once it is decoded.
pub(crate) fn below_root(path: &str) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = decode(segment)?;
        if name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return None;
        }
        below.push(name);
    }
    Some(below)
}

/// RFC 3986, section 2.1.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match byte {
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let byte = digit(digits[0])? * 16 + digit(digits[1])?;
                (u8::try_from(byte).ok()?, after)
            }
            byte => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// A name as a segment of a URL's path.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // into a string it does not fail
        }
    }
    encoded
}

/// A text within HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
