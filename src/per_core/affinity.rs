//! Which CPU a thread runs on.

/// The CPUs that this thread may run on, so the process, unless somebody has pinned the thread already. Empty where
/// the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn usable() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let usable = sched_getaffinity(None);
    usable.map_or(Vec::new(), |set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Keeps this thread on `cpu`; whether it is.
#[cfg(target_os = "linux")]
pub(super) fn pin(cpu: usize) -> bool {
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn usable() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_cpu: usize) -> bool {
    false
}
