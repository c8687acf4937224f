//! Bytes per timer, counted by the allocator. Alone in its process: the counter sees every thread.
//!
//! Ten million timers in a release build, one million in a debug one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use punctual_timer_wheel::{Budget, Wheel};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to `System` unchanged; the counters have no part in what is returned. `realloc` is
// the provided one, a copy, so that a copy in progress shows in the peak.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// At most 40 bytes a timer at the peak, growth included; flat when timers come and go; nothing kept on drop.
#[test]
fn bytes_per_timer() {
    let count = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000u64 };
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let peak = || (PEAK.load(Ordering::Relaxed) - before) as f64 / count as f64;

    let mut wheel = Wheel::new(0);
    let at = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 28;
    let mut keys = Vec::with_capacity(1_000);
    let held = keys.capacity() * 8;
    for i in 0..count {
        let key = wheel.insert(at(i), i);
        if i % (count / 1_000) == 0 {
            keys.push(key);
        }
    }
    let grown = peak();
    println!("{count} timers: {grown:.2} bytes each, payload included");
    assert!(grown <= 40.0, "{grown} bytes a timer");

    for round in 0..200 {
        for (i, key) in (0..).zip(&mut keys) {
            assert!(wheel.cancel(*key).is_some());
            *key = wheel.insert(at(i * 31 + round), i);
        }
    }
    let mut fired = 0;
    while !wheel.expire(1 << 34, Budget::default(), |_, _| fired += 1).complete {}
    assert!(fired > 0);
    (0..fired).for_each(|i| {
        wheel.insert(1 << 40, i);
    });
    assert!(peak() < grown + 0.01, "nodes are used again, and a drain allocates nothing");

    let small = {
        let before = LIVE.load(Ordering::Relaxed);
        let mut wheel = Wheel::new(0);
        wheel.insert(1, 0u64);
        LIVE.load(Ordering::Relaxed) - before
    };
    println!("a wheel of one timer: {small} bytes");
    assert!(small <= 64 * 1024);

    drop(wheel);
    drop(keys);
    assert!(LIVE.load(Ordering::Relaxed) <= before + held, "nothing is kept");
}
