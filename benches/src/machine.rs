//! On what this was measured.

use std::fs;

/// One line: kernel, processor, cores, compiler's target.
pub(crate) fn line() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim()).to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {kernel}, {model}, {cores} cores seen")
}
