//! [`Cache`]: what servers have said, for as long as they said it holds.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::Instant;

use super::message::Family;
use super::name::Name;
use super::query::Answer;

/// Nothing is believed for longer, whatever its TTL.
const TTL_MAX: Duration = Duration::from_secs(3_600);
/// Nor that something is not there (RFC 2308, section 5, allows one to three hours).
const DENIAL_MAX: Duration = Duration::from_secs(300);

pub(super) type Key = (Name, Family);

/// Answers by name and family; a bounded number of them. When it is full, one taken at random makes room.
pub(super) struct Cache {
    /// SipHash with a random key: names are chosen by others.
    places: HashMap<Key, usize>,
    entries: Vec<Entry>,
    entries_max: usize,
}

struct Entry {
    key: Key,
    answer: Rc<Answer>,
    since: Instant,
    until: Instant,
}

impl Cache {
    pub(super) fn of(entries_max: usize) -> Cache {
        Cache { places: HashMap::new(), entries: Vec::new(), entries_max }
    }

    /// What is known and still holds.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Rc<Answer>> {
        let place = *self.places.get(key)?;
        let entry = &self.entries[place];
        if entry.since <= now && now < entry.until {
            return Some(entry.answer.clone());
        }
        self.remove(place);
        None
    }

    /// Remembers an answer that holds for `ttl` seconds; not at all if that is none. `die` says who makes room.
    pub(super) fn put(&mut self, key: Key, answer: Rc<Answer>, ttl: u32, now: Instant, die: u16) {
        let most = if answer.known.addresses().is_empty() { DENIAL_MAX } else { TTL_MAX };
        let ttl = Duration::from_secs(ttl.into()).min(most);
        if ttl.is_zero() || self.entries_max == 0 {
            return;
        }
        let entry = Entry { key: key.clone(), answer, since: now, until: now + ttl };
        if let Some(place) = self.places.get(&key) {
            self.entries[*place] = entry;
            return;
        }
        if self.entries.len() >= self.entries_max {
            self.remove(usize::from(die) % self.entries.len());
        }
        self.places.insert(key, self.entries.len());
        self.entries.push(entry);
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.places.remove(&gone.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key.clone(), place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{query::Known, timed};
    use std::net::Ipv4Addr;

    fn key(n: u32) -> Key {
        (Name::parse(&format!("name-{n}.example")).expect("a name"), Family::V4)
    }

    fn answer(known: Known) -> Answer {
        Answer { known, by: (Ipv4Addr::LOCALHOST, 53).into() }
    }

    fn known(n: u32) -> Rc<Answer> {
        Rc::new(answer(Known::Addresses(vec![Ipv4Addr::from(n).into()])))
    }

    #[test]
    fn a_hundred_thousand_names_take_linear_time_and_bounded_room() {
        let now = Instant::from_nanos(1);
        let mut cache = Cache::of(1_024);
        let mut fill = |from: u32| {
            let filling = || {
                for n in from..from + 10_000 {
                    cache.put(key(n), known(n), 60, now, (n.wrapping_mul(0x9e37_79b9) >> 16) as u16);
                    assert!(cache.len() <= 1_024);
                    assert_eq!(cache.get(&key(n), now).as_deref(), Some(&*known(n)));
                }
            };
            timed(filling).1
        };
        let took: Vec<Duration> = (0..10).map(|tenth| fill(tenth * 10_000)).collect();
        assert_eq!((cache.len(), cache.places.len()), (1_024, 1_024));
        for entry in &cache.entries {
            assert_eq!(cache.entries[cache.places[&entry.key]].key, entry.key);
        }
        // The quickest of each half, so that nobody else's work counts.
        let quickest = |half: &[Duration]| half.iter().min().copied().unwrap_or_default();
        let (first, last) = (quickest(&took[..5]), quickest(&took[5..]));
        assert!(last < first * 4, "each tenth takes as long as the first: {took:?}");
    }

    #[test]
    fn ttls_have_bounds() {
        let now = Instant::from_nanos(1);
        let nothing = || Rc::new(answer(Known::NoName));
        for (what, ttl, holds) in [
            (known(1), 0, 0),
            (known(1), 1, 1),
            (known(1), u32::MAX, 3_600),
            (nothing(), 0, 0),
            (nothing(), 7, 7),
            (nothing(), 86_400, 300),
        ] {
            let mut cache = Cache::of(4);
            cache.put(key(1), what, ttl, now, 0);
            let known_at =
                |cache: &mut Cache, ns| cache.get(&key(1), now + Duration::from_nanos(ns)).is_some();
            let end = holds * 1_000_000_000;
            assert!(end == 0 || known_at(&mut cache, end - 1), "{ttl}");
            assert!(!known_at(&mut cache, end), "{ttl}");
            assert_eq!(cache.len(), 0, "what is over is forgotten");
        }
    }

    #[test]
    fn a_clock_that_went_back_finds_nothing() {
        let mut cache = Cache::of(4);
        cache.put(key(1), known(1), 60, Instant::from_nanos(1_000), 0);
        assert_eq!(cache.get(&key(1), Instant::from_nanos(999)), None);
    }
}
