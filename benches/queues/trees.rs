//! What the standard library offers: a `BTreeMap`, and a `BinaryHeap` whose cancelled entries are skipped later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Queue;

/// Ordered by deadline, then by a serial number.
pub struct Tree {
    map: BTreeMap<(u64, u64), u64>,
    serial: u64,
}

impl Queue for Tree {
    const NAME: &'static str = "BTreeMap";
    type Key = (u64, u64);

    fn new(_expected: usize) -> Self {
        Tree { map: BTreeMap::new(), serial: 0 }
    }

    fn insert(&mut self, at: u64, value: u64) -> (u64, u64) {
        self.serial += 1;
        self.map.insert((at, self.serial), value);
        (at, self.serial)
    }

    fn cancel(&mut self, key: (u64, u64)) -> bool {
        self.map.remove(&key).is_some()
    }

    fn rearm(&mut self, key: (u64, u64), at: u64) -> (u64, u64) {
        let value = self.map.remove(&key).expect("armed");
        self.map.insert((at, key.1), value);
        (at, key.1)
    }

    fn next(&mut self) -> u64 {
        self.map.first_key_value().map_or(u64::MAX, |(key, _)| key.0)
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        while let Some(entry) = self.map.first_entry() {
            if entry.key().0 > now {
                break;
            }
            *sum += entry.remove();
            *fired += 1;
        }
        true
    }
}

/// A heap of (deadline, index, version); an entry whose version is not its slot's is garbage.
pub struct Heap {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
    slots: Vec<(u32, u64)>,
    free: Vec<u32>,
    live: usize,
}

impl Heap {
    fn push(&mut self, at: u64, index: u32) {
        self.heap.push(Reverse((at, index, self.slots[index as usize].0)));
        if self.heap.len() > 64 && self.heap.len() > 2 * self.live {
            let slots = &self.slots;
            self.heap.retain(|Reverse((_, index, version))| slots[*index as usize].0 == *version);
        }
    }
}

impl Queue for Heap {
    const NAME: &'static str = "BinaryHeap";
    type Key = u32;

    fn new(expected: usize) -> Self {
        let (heap, slots) = (BinaryHeap::with_capacity(expected), Vec::with_capacity(expected));
        Heap { heap, slots, free: Vec::new(), live: 0 }
    }

    fn insert(&mut self, at: u64, value: u64) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, 0));
            (self.slots.len() - 1) as u32
        });
        self.slots[index as usize].1 = value;
        self.live += 1;
        self.push(at, index);
        index
    }

    fn cancel(&mut self, key: u32) -> bool {
        self.slots[key as usize].0 += 1;
        self.free.push(key);
        self.live -= 1;
        true
    }

    fn rearm(&mut self, key: u32, at: u64) -> u32 {
        self.slots[key as usize].0 += 1;
        self.push(at, key);
        key
    }

    fn next(&mut self) -> u64 {
        while let Some(&Reverse((at, index, version))) = self.heap.peek() {
            if self.slots[index as usize].0 == version {
                return at;
            }
            self.heap.pop();
        }
        u64::MAX
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        while let Some(&Reverse((at, index, version))) = self.heap.peek() {
            if at > now {
                break;
            }
            self.heap.pop();
            let slot = &mut self.slots[index as usize];
            if slot.0 == version {
                slot.0 += 1;
                *sum += slot.1;
                *fired += 1;
                self.live -= 1;
                self.free.push(index);
            }
        }
        true
    }
}
