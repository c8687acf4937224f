//! The CPU's own counter: cheaper to read than the clock, and good for nothing but to tell that little time has passed.

/// Whether the counter goes on at one pace, whatever the CPU does, as the "invariant TSC" of AMD's and Intel's manuals
/// (CPUID 8000_0007h, EDX bit 8).
#[cfg(target_arch = "x86_64")]
pub(crate) fn are_steady() -> bool {
    use std::arch::x86_64::{__cpuid, __get_cpuid_max};

    const LEAF: u32 = 0x8000_0007;
    // SAFETY: every x86-64 CPU has CPUID, and a leaf is asked for only if there is one of that number.
    #[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
    unsafe {
        __get_cpuid_max(LEAF & 0x8000_0000).0 >= LEAF && __cpuid(LEAF).edx & 1 << 8 != 0
    }
}

/// Where the counter stands.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn read() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and a kernel that forbade it would have no vDSO either.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Not known here.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn are_steady() -> bool {
    false
}

/// Never asked here.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn read() -> u64 {
    0
}
