//! Bytes per timer, counted by the allocator. Alone in its process: the counter sees every thread.
//!
//! Ten million timers in a release build, one million in a debug one.

use peak_alloc::PeakAlloc;
use punctual_timer_wheel::{Budget, Wheel};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// At most 40 bytes a timer at the peak, growth included; flat when timers come and go; nothing kept on drop.
#[test]
fn bytes_per_timer() {
    let count = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000u64 };
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let peak = || (ALLOCATOR.peak_usage() - before) as f64 / count as f64;

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
        let before = ALLOCATOR.current_usage();
        let mut wheel = Wheel::new(0);
        wheel.insert(1, 0u64);
        ALLOCATOR.current_usage() - before
    };
    println!("a wheel of one timer: {small} bytes");
    assert!(small <= 64 * 1024);

    drop(wheel);
    drop(keys);
    assert!(ALLOCATOR.current_usage() <= before + held, "nothing is kept");
}
