//! What a lookup that ran out of time had heard, in words.

use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;

use crate::error::text::Count;

/// How many servers are named.
const SERVERS_SHOWN: usize = 4;

/// Packets from name servers that were no answers to what they had been asked, by what was wrong with them: signs of
/// forgery, or of a server that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredAnswers {
    /// The id is not that of the question: whoever sent it had to guess.
    pub wrong_id: u32,
    /// It answers something else.
    pub wrong_question: u32,
    /// It repeats the name in other capitals.
    pub wrong_capitals: u32,
    /// It is no answer of DNS.
    pub malformed: u32,
}

impl IgnoredAnswers {
    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.counts().iter().map(|(count, _)| count).sum()
    }

    fn counts(&self) -> [(u32, &'static str); 4] {
        [
            (self.wrong_id, "wrong id"),
            (self.wrong_question, "wrong question"),
            (self.wrong_capitals, "wrong capitals"),
            (self.malformed, "not an answer of DNS"),
        ]
    }
}

impl AddAssign for IgnoredAnswers {
    fn add_assign(&mut self, other: IgnoredAnswers) {
        self.wrong_id += other.wrong_id;
        self.wrong_question += other.wrong_question;
        self.wrong_capitals += other.wrong_capitals;
        self.malformed += other.malformed;
    }
}

impl fmt::Display for IgnoredAnswers {
    /// `2 answers ignored: wrong id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ignored", Count(self.total().into(), "answer"))?;
        let there = self.counts().into_iter().filter(|(count, _)| *count > 0);
        for (index, (count, what)) in there.enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            if count < self.total() {
                write!(f, "{count} ")?;
            }
            f.write_str(what)?;
        }
        Ok(())
    }
}

pub(super) fn servers_silent(
    f: &mut fmt::Formatter<'_>,
    servers: &[SocketAddr],
    queries: u32,
    ignored: IgnoredAnswers,
) -> fmt::Result {
    if servers.is_empty() {
        return f.write_str("no name server asked, as other queries were before this one");
    }
    f.write_str("no answer from ")?;
    for (index, server) in servers.iter().take(SERVERS_SHOWN).enumerate() {
        write!(f, "{}{server}", if index == 0 { "" } else { ", " })?;
    }
    if let more @ 1.. = servers.len().saturating_sub(SERVERS_SHOWN) {
        write!(f, " and {more} more")?;
    }
    match queries {
        1 => f.write_str(" after 1 query")?,
        queries => write!(f, " after {queries} queries")?,
    }
    if ignored.total() > 0 { write!(f, "; {ignored}") } else { Ok(()) }
}
