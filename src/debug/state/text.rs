//! Texts of others, of a bounded size.

/// The longest text in a state, in bytes.
const LONGEST: usize = 400;

/// `text`, or as much of its beginning as fits, with a mark.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let mut end = LONGEST - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("größer"), "größer");
        for shift in 0..4 {
            let long = format!("{}{}", "a".repeat(shift), "€".repeat(200));
            let short = cut(&long);
            assert!(short.len() <= LONGEST && short.len() > LONGEST - 6, "{} bytes", short.len());
            assert!(short.ends_with('…') && long.starts_with(short.trim_end_matches('…')));
        }
        let exact = "b".repeat(LONGEST);
        assert_eq!(cut(&exact), exact);
    }
}
