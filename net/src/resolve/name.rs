//! [`Name`]: what may be asked for, and which names a search list makes of it.

use std::fmt;
use std::rc::Rc;

/// A name in wire format.
pub(super) type Wire = Vec<u8>;

/// The longest name, in characters, without its final dot (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A host name in ASCII: lower case, without the final dot. Letters, digits, hyphens and underscores in labels of
/// 1 to 63 characters, 253 in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Rc<str>);

impl Name {
    /// Takes `text`; a final dot says that no search list is to be used, which the caller sees to.
    pub(super) fn parse(text: &str) -> Result<Name, &'static str> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err("the host name is empty");
        }
        if !text.is_ascii() {
            return Err(
                "the host name is not ASCII: give the form that begins with xn-- (IDNA is not done here)",
            );
        }
        if text.len() > NAME_MAX {
            return Err("the host name is longer than 253 characters");
        }
        for label in text.split('.') {
            match label.len() {
                0 => return Err("the host name has an empty label: two dots in a row, or one in front"),
                1..=LABEL_MAX => {}
                _ => return Err("the host name has a label of more than 63 characters"),
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !label.bytes().all(plain) {
                return Err("the host name contains a character that no host name has");
            }
        }
        Ok(Name(text.to_ascii_lowercase().into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `domain` or lies below it.
    pub(super) fn is_within(&self, domain: &str) -> bool {
        let Some(front) = self.0.strip_suffix(domain) else { return false };
        front.is_empty() || front.ends_with('.')
    }

    fn dots(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'.').count()
    }

    fn below(&self, domain: &str) -> Option<Name> {
        Name::parse(&format!("{}.{domain}", self.0)).ok()
    }

    /// The names to ask for in turn: as it is first if it has `ndots` dots, else last (resolv.conf(5)).
    pub(super) fn candidates(&self, absolute: bool, search: &[String], ndots: usize) -> Vec<Name> {
        if absolute {
            return vec![self.clone()];
        }
        let mut names: Vec<Name> = search.iter().filter_map(|domain| self.below(domain)).collect();
        let at = if self.dots() >= ndots { 0 } else { names.len() };
        names.insert(at, self.clone());
        names
    }

    /// As it goes over the wire, with the letters' case chosen by `bits`, one a letter.
    pub(super) fn to_wire(&self, bits: &[u8; 32]) -> Wire {
        let mut wire = Vec::with_capacity(self.0.len() + 2);
        let mut letters = 0;
        for label in self.0.split('.') {
            // A label has at most 63 characters.
            wire.push(label.len() as u8);
            for byte in label.bytes() {
                let upper = bits[letters / 8 % bits.len()] >> (letters % 8) & 1 == 1;
                letters += usize::from(byte.is_ascii_alphabetic());
                wire.push(if upper { byte.to_ascii_uppercase() } else { byte });
            }
        }
        wire.push(0);
        wire
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn n14_evil_names_are_rejected() {
        let (label, long) = ("x".repeat(64), "x.".repeat(127) + "y");
        let evil = [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a\0b",
            "a\nb",
            "<html>",
            "a b",
            "a/b",
            "a\\b",
            "bücher.example",
        ];
        for text in evil.into_iter().chain([label.as_str(), &long]) {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        for text in ["a", "a.", "_dmarc.example.org", "xn--bcher-kva.example", &"x".repeat(63), "1.2"] {
            assert!(Name::parse(text).is_ok(), "{text:?}");
        }
        assert!(Name::parse("é.example").is_err_and(|why| why.contains("xn--")));
    }

    #[test]
    fn the_search_list_is_used_as_resolv_conf_says() {
        let search = ["corp.example".to_owned(), "example".to_owned()];
        let tried = |text: &str, absolute, ndots| {
            let names = name(text).candidates(absolute, &search, ndots);
            names.iter().map(Name::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(tried("host", false, 1), "host.corp.example host.example host");
        assert_eq!(tried("a.host", false, 1), "a.host a.host.corp.example a.host.example");
        assert_eq!(tried("a.host", false, 2), "a.host.corp.example a.host.example a.host");
        assert_eq!(tried("host", false, 0), "host host.corp.example host.example");
        assert_eq!(tried("host.", true, 1), "host");
    }

    #[test]
    fn a_name_lies_within_its_parents_only() {
        assert!(name("a.localhost").is_within("localhost") && name("LOCALHOST.").is_within("localhost"));
        assert!(
            !name("alocalhost").is_within("localhost") && !name("localhost.a").is_within("localhost")
        );
    }

    #[test]
    fn the_case_on_the_wire_follows_the_bits() {
        assert_eq!(name("a1.Bc").to_wire(&[0; 32]), b"\x02a1\x02bc\0");
        assert_eq!(name("a1.bc").to_wire(&[0b101; 32]), b"\x02A1\x02bC\0");
    }
}
