//! What the server has answered, over HTTP/1.

/// That it is responses, each whole but for the last, and that nothing follows one which says that it is the last.
///
/// # Panics
/// If it is not.
pub(super) fn check(whole: &[u8]) {
    let mut answer = whole;
    while !answer.is_empty() {
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            // Cut off: the client had enough, or had broken off itself.
            assert!(
                b"HTTP/1.".starts_with(&answer[..answer.len().min(7)]),
                "no response: {}",
                shown(answer)
            );
            return;
        };
        let head = str::from_utf8(&answer[..end]).expect("our responses are ASCII").to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("http/1.1 ").or_else(|| first.strip_prefix("http/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        let status = status.unwrap_or_else(|| panic!("no response: {}", shown(answer)));
        let header = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name));
        let length = header("content-length: ").map(|length| length.parse::<usize>().expect("a number"));
        let bodiless = matches!(status, 100..=199 | 204 | 304) || header("x-method: ") == Some("head");
        let length = if bodiless { 0 } else { length.unwrap_or(0) };
        let rest = &answer[end + 4..];
        let last = header("connection: ") == Some("close");
        answer = rest.get(length..).unwrap_or_default();
        assert!(
            !last || answer.is_empty(),
            "after the last response: {} in {}",
            shown(answer),
            shown(whole)
        );
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(500)].escape_ascii().to_string()
}
