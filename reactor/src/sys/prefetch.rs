//! Having the CPU fetch what will be needed: where a thousand tasks wake after a sleep, what each keeps is in no cache, and to
//! wait for it is most of what it costs.

/// The unit in which a CPU fetches.
const LINE: usize = 64;

/// No more of one thing is fetched ahead.
const LINES_MAX: usize = 6;

/// Begins to fetch `value`; it changes nothing but how long the next look at it takes.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    let (bytes, at) = (size_of_val(value), std::ptr::from_ref(value).cast::<u8>());
    for line in (0..bytes).step_by(LINE).take(LINES_MAX) {
        fetch(at.wrapping_add(line));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: PREFETCHT0 is a hint: it reads nothing that the program sees, and never faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: *const u8) {}
