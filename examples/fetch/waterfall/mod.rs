//! The report as a person reads it: of each hop a line, of each phase a bar, what it had and what was left.
//!
//! ```text
//! GET http://a/page → 200 over HTTP/1.1, 1.27 kB
//!   192.0.2.1:80, new connection
//!              took   budget     left  0                            41.2 ms
//!   resolve  0.9 ms      5 s      5 s  ▊
//!   connect   12 ms     30 s     30 s   ███████▌
//! ```

use crate::report::{Deadline, Failure, Fetched, Hop, Outcome, Row};
use crate::words::{bytes, cut, duration, harmless, wrapped};

/// Nobody reads what is narrower.
const WIDTH_MIN: usize = 48;
/// Wider bars tell no more.
const WIDTH_MAX: usize = 140;
/// What stands before the bars: the mark and the name, then three columns of figures.
const NAME: usize = 10;
const FIGURE: usize = 8;
const BEFORE: usize = NAME + 3 * FIGURE + 2;

/// How it is to look.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Characters in a line.
    pub(crate) width: usize,
    /// Whether there may be colours.
    pub(crate) colours: bool,
}

#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Faint,
    Red,
    Yellow,
    Of(&'static str),
}

/// One fetch, in lines.
pub(crate) fn text(fetched: &Fetched, look: Look) -> String {
    Look { width: look.width.clamp(WIDTH_MIN, WIDTH_MAX), ..look }.fetched(fetched)
}

impl Look {
    fn fetched(self, fetched: &Fetched) -> String {
        let mut text = String::new();
        for (index, hop) in fetched.hops.iter().enumerate() {
            text += &self.head(hop);
            if index == 0 {
                text += &self.scale(fetched);
            }
            for row in &hop.phases {
                text += &self.row(row, fetched);
            }
        }
        if fetched.hops.is_empty() {
            text += &self.line(Ink::Bold, &harmless(&fetched.url));
        } else {
            text += &self.whole(fetched);
        }
        if let Some(error) = &fetched.error {
            text += &self.failure(error, fetched.outcome);
        }
        for (name, value) in &fetched.headers {
            text += &self.line(Ink::Faint, &format!("  {}: {}", harmless(name), harmless(value)));
        }
        text
    }

    /// What was asked, and what came of it; over which connection.
    fn head(self, hop: &Hop) -> String {
        let answer = match (hop.status, hop.version) {
            (Some(status), Some(version)) => {
                format!(" → {status} over {version}, {}", bytes(hop.body_bytes))
            }
            _ => " → no answer".to_owned(),
        };
        let asked = format!("{} {}", harmless(&hop.method), harmless(&hop.url));
        let room = self.width.saturating_sub(answer.chars().count());
        let mut text = self.line(Ink::Bold, &format!("{}{answer}", cut(&asked, room)));
        if let Some(peer) = &hop.peer {
            let use_of_it = if hop.reused { "connection reused" } else { "new connection" };
            text += &self.line(Ink::Faint, &format!("  {peer}, {use_of_it}"));
        }
        text
    }

    fn scale(self, fetched: &Fetched) -> String {
        let names = format!("{:NAME$}{:>FIGURE$}{:>FIGURE$}{:>FIGURE$}", "", "took", "budget", "left");
        let end = duration(fetched.took_ns);
        let room = self.bars().saturating_sub(1);
        self.line(Ink::Faint, &format!("{names}  0{end:>room$}"))
    }

    fn row(self, row: &Row, fetched: &Fetched) -> String {
        let mark = match row {
            row if row.is_overdue() => '✗',
            row if row.is_done() => ' ',
            _ => '!',
        };
        let ink = match mark {
            '✗' => Ink::Red,
            '!' => Ink::Yellow,
            _ => Ink::Of(row.name),
        };
        let name = format!("{mark} {}", cut(row.name, NAME - 3));
        let figures = figures(row.took_ns, row.budget_ns, row.left_ns);
        let bar = bar(row.began_ns, row.took_ns, fetched.took_ns, self.bars());
        let name = format!("{name:NAME$}");
        let name = if mark == ' ' { name } else { self.in_ink(ink, &name) };
        format!("{name}{figures}  {}\n", self.in_ink(ink, &bar))
    }

    /// The last row: the whole, and what was left of it.
    fn whole(self, fetched: &Fetched) -> String {
        let figures = figures(fetched.took_ns, fetched.budget_ns, fetched.left_ns);
        self.line(Ink::Faint, &format!("{:NAME$}{figures}", "  total"))
    }

    /// Which deadline it was, whose, and how late; then the whole sentence.
    fn failure(self, failure: &Failure, outcome: Outcome) -> String {
        let ink = if outcome == Outcome::TimedOut { Ink::Red } else { Ink::Yellow };
        let mut text = String::new();
        let mut say = |ink: Ink, mark: &str, sentence: &str| {
            let lines = wrapped(&harmless(sentence), self.width - 2);
            for (index, line) in lines.iter().enumerate() {
                let mark = if index == 0 { mark } else { " " };
                text += &self.line(ink, &format!("{mark} {line}"));
            }
        };
        if let Some(deadline) = &failure.deadline {
            say(ink, "✗", &verdict(failure, deadline));
        }
        say(
            if failure.deadline.is_some() { Ink::Faint } else { ink },
            if failure.deadline.is_some() { " " } else { "!" },
            &failure.message,
        );
        text
    }

    /// A line that fits.
    fn line(self, ink: Ink, text: &str) -> String {
        let text = cut(text.trim_end(), self.width);
        format!("{}\n", self.in_ink(ink, &text))
    }

    fn in_ink(self, ink: Ink, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Red => "31;1",
            Ink::Yellow => "33",
            Ink::Of("resolve") => "35",
            Ink::Of("connect") => "33",
            Ink::Of("tls") => "36",
            Ink::Of("write") => "34",
            Ink::Of("wait") => "32",
            Ink::Of(_) => "94",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Characters for the bars.
    fn bars(self) -> usize {
        self.width - BEFORE
    }
}

/// What it took, what it had, what was left.
fn figures(took_ns: u64, budget_ns: u64, left_ns: u64) -> String {
    let left = if left_ns == 0 { "none".to_owned() } else { duration(left_ns) };
    format!("{:>FIGURE$}{:>FIGURE$}{left:>FIGURE$}", duration(took_ns), duration(budget_ns))
}

/// As `wait was ended by its own deadline of 300 ms, 61 µs late`.
pub(crate) fn verdict(failure: &Failure, deadline: &Deadline) -> String {
    let whose = match deadline.whose {
        "own" => "its own deadline".to_owned(),
        "idle" => "the idle timeout".to_owned(),
        "rate" => "the minimum rate".to_owned(),
        "total" => "the deadline of the whole".to_owned(),
        scope => match &deadline.name {
            Some(name) => format!("the deadline of the {scope} {name:?}"),
            None => format!("the deadline of a {scope}"),
        },
    };
    let budget = deadline.budget_ns.map_or(String::new(), |ns| format!(" of {}", duration(ns)));
    let phase = failure.name.unwrap_or("it");
    format!("{phase} was ended by {whose}{budget}, {} late", duration(deadline.late_ns))
}

/// A bar of `cells` characters at most, spaces before it included, to an eighth of a character at its end. What took no time
/// is seen all the same.
fn bar(began_ns: u64, took_ns: u64, whole_ns: u64, cells: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = |ns: u64| {
        let share = u128::from(ns) * (cells as u128 * 8) / u128::from(whole_ns.max(1));
        usize::try_from(share).unwrap_or(usize::MAX).min(cells * 8)
    };
    let (began, ended) = (eighths(began_ns), eighths(began_ns.saturating_add(took_ns)));
    let start = (began / 8).min(cells - 1);
    // Within one character it is as long as it is; a longer one fills that in which it begins.
    let end =
        if ended / 8 > start && ended > began { ended } else { start * 8 + (ended - began).max(1) };
    let (full, part) = (end / 8 - start, end % 8);
    format!("{}{}{}", " ".repeat(start), "█".repeat(full), PARTS[part])
}

#[cfg(test)]
mod tests;
