//! [`HappyEyeballs`]: how several addresses are raced; and the order in which they start.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How the addresses of one target race for a connection (RFC 8305).
///
/// The families take turns, beginning with that of the first address. An attempt starts when the one
/// before it has had [`delay`](HappyEyeballs::delay) to itself, or at once when one has failed; none is
/// given up for the sake of a later one. The first that connects wins, and the others are closed with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "give it to Connect::happy_eyeballs"]
pub struct HappyEyeballs {
    delay: Duration,
    first_family: usize,
    in_flight_max: usize,
}

/// Recommended in RFC 8305, section 8.
const DELAY: Duration = Duration::from_millis(250);
/// RFC 8305, section 5: never less, or every connection becomes two.
const DELAY_MIN: Duration = Duration::from_millis(10);
const IN_FLIGHT_MAX: usize = 8;

impl HappyEyeballs {
    /// How long an attempt has to itself before the next starts beside it: 250 ms unless set, and never
    /// less than 10 ms.
    pub fn delay(mut self, delay: Duration) -> HappyEyeballs {
        self.delay = delay.max(DELAY_MIN);
        self
    }

    /// How many addresses of the first family come before the first of the other: 1 unless set, and at
    /// least 1. ("First Address Family Count" of RFC 8305, section 4.)
    pub fn first_family(mut self, addresses: usize) -> HappyEyeballs {
        self.first_family = addresses.max(1);
        self
    }

    /// How many attempts may be under way at the same time, each with a socket: 8 unless set, and at
    /// least 1. With more addresses than that each gets a share of the time, so that those behind have a
    /// chance; with fewer, each has until the end.
    pub fn in_flight_max(mut self, attempts: usize) -> HappyEyeballs {
        self.in_flight_max = attempts.max(1);
        self
    }
}

impl Default for HappyEyeballs {
    fn default() -> HappyEyeballs {
        HappyEyeballs { delay: DELAY, first_family: 1, in_flight_max: IN_FLIGHT_MAX }
    }
}

/// In what order and how close behind each other addresses are tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) delay: Duration,
    pub(super) in_flight_max: usize,
    /// How many of the first family come first; `None` keeps the order as it is.
    lead: Option<usize>,
}

impl Pace {
    /// One after the other, in the order given, if there are no `rules`.
    pub(super) fn new(rules: Option<HappyEyeballs>) -> Pace {
        match rules {
            Some(HappyEyeballs { delay, first_family, in_flight_max }) => {
                Pace { delay, in_flight_max, lead: Some(first_family) }
            }
            None => Pace { delay: Duration::MAX, in_flight_max: 1, lead: None },
        }
    }

    pub(super) fn order(&self, addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
        match (self.lead, addresses.first()) {
            (Some(lead), Some(first)) => interleave(first.is_ipv6(), lead, addresses),
            _ => addresses.into(),
        }
    }

    /// The order of those that still wait and of those that came later, when `started` of the `first` address'
    /// family, and none or more of the other, have started, the last of them `last`.
    pub(super) fn order_late(
        &self,
        waiting: VecDeque<SocketAddr>,
        late: Vec<SocketAddr>,
        started: usize,
        last: Option<SocketAddr>,
    ) -> VecDeque<SocketAddr> {
        let all = waiting.into_iter().chain(late).collect::<Vec<_>>();
        match (self.lead, last) {
            (Some(lead), Some(last)) => interleave(last.is_ipv6(), lead.saturating_sub(started), all),
            (Some(_), None) => self.order(all),
            (None, _) => all.into(),
        }
    }
}

/// `lead` addresses of one family, then the families by turns, the other first. Within a family the order
/// stays.
fn interleave(v6_leads: bool, lead: usize, addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut leading, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_leads);
    let mut ordered: VecDeque<_> = leading.drain(..lead.min(leading.len())).collect();
    while let Some(other) = others.pop_front() {
        ordered.push_back(other);
        ordered.extend(leading.pop_front());
    }
    ordered.extend(leading);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `6a` is an IPv6 address, `4b` an IPv4 address.
    fn addresses(names: &str) -> Vec<SocketAddr> {
        let address = |name: &str| {
            let last = name.as_bytes()[1];
            match name.as_bytes()[0] {
                b'6' => ([0, 0, 0, 0, 0, 0, 0, u16::from(last)], 1).into(),
                _ => ([127, 0, 0, last], 1).into(),
            }
        };
        names.split_whitespace().map(address).collect()
    }

    fn check(rules: HappyEyeballs, given: &str, ordered: &str) {
        assert_eq!(Pace::new(Some(rules)).order(addresses(given)), addresses(ordered), "{given}");
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let rules = HappyEyeballs::default();
        check(rules, "", "");
        check(rules, "4a 4b", "4a 4b");
        check(rules, "6a 6b 6c 4a", "6a 4a 6b 6c");
        check(rules, "6a 6b 4a 4b 4c", "6a 4a 6b 4b 4c");
        check(rules, "4a 6a 6b 4b", "4a 6a 4b 6b");
        check(rules.first_family(2), "6a 6b 6c 4a 4b", "6a 6b 4a 6c 4b");
        check(rules.first_family(9), "6a 6b 4a", "6a 6b 4a");
        check(rules.first_family(0), "6a 6b 4a", "6a 4a 6b");
        assert_eq!(Pace::new(None).order(addresses("6a 6b 4a")), addresses("6a 6b 4a"));
    }

    #[test]
    fn what_comes_late_is_next_if_its_turn_is_due() {
        let late = |rules, waiting, late, started, last: &str| {
            let last = addresses(last).pop();
            Pace::new(rules).order_late(addresses(waiting).into(), addresses(late), started, last)
        };
        let rules = HappyEyeballs::default();
        assert_eq!(late(Some(rules), "6b 6c", "4a 4b", 1, "6a"), addresses("4a 6b 4b 6c"));
        assert_eq!(late(Some(rules), "", "4a 4b", 1, "6a"), addresses("4a 4b"));
        let two = Some(rules.first_family(2));
        assert_eq!(late(two, "6b 6c", "4a 4b", 1, "6a"), addresses("6b 4a 6c 4b"));
        assert_eq!(late(None, "6b", "4a", 1, "6a"), addresses("6b 4a"));
    }

    #[test]
    fn no_rule_makes_a_storm() {
        let rules = HappyEyeballs::default().delay(Duration::ZERO).in_flight_max(0);
        assert_eq!((rules.delay, rules.in_flight_max), (DELAY_MIN, 1));
    }
}
