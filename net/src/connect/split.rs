//! How one budget is shared out among several addresses.

use std::time::Duration;

use punctual_reactor::Instant;

/// What an address gets at least, if so much is left.
const FLOOR: Duration = Duration::from_secs(2);

/// By when one address has to be done, with `left` of them still to try, this one included. `None` if no
/// time is left. An equal share of what remains; if that is too short to be of use, the last ones pay.
pub(super) fn partial_deadline(now: Instant, deadline: Instant, left: usize) -> Option<Instant> {
    if deadline == Instant::FAR_FUTURE {
        return Some(deadline);
    }
    if deadline <= now {
        return None;
    }
    let remaining = deadline - now;
    let share = remaining / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    Some(now + share.max(remaining.min(FLOOR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_partial_deadline_table() {
        let now = Instant::from_nanos(1_000_000_000_000);
        let seconds = Duration::from_secs;
        let table = [
            // Equal shares.
            (12, 1, 12),
            (12, 2, 6),
            (12, 3, 4),
            // Not below two seconds.
            (12, 999, 2),
            (4, 999, 2),
            (3, 999, 2),
            // Unless less is left.
            (2, 999, 2),
            (1, 999, 1),
        ];
        for (budget, left, share) in table {
            let got = partial_deadline(now, now + seconds(budget), left);
            assert_eq!(got, Some(now + seconds(share)), "{budget} s for {left} addresses");
        }
        assert_eq!(partial_deadline(now, Instant::FAR_FUTURE, 1), Some(Instant::FAR_FUTURE));
        assert_eq!(partial_deadline(now, now - seconds(1), 1), None);
        assert_eq!(partial_deadline(now, now, 1), None);
    }

    #[test]
    fn the_last_address_gets_all_that_is_left() {
        let now = Instant::from_nanos(1_000_000_000_000);
        for ns in [1, 999, 1_999_999_999, 2_000_000_001, 7_000_000_003] {
            let deadline = now + Duration::from_nanos(ns);
            assert_eq!(partial_deadline(now, deadline, 1), Some(deadline));
        }
    }
}
