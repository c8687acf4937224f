//! What the figures were measured on, as far as the system tells.

use std::{fmt, fs, thread};

use serde::Serialize;

use crate::strategies;

#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpu: Option<String>,
    pub(crate) cores: usize,
    pub(crate) clocksource: Option<String>,
    pub(crate) governor: Option<String>,
    pub(crate) hz: Option<u64>,
    pub(crate) timer_slack_ns: Option<u64>,
}

impl Machine {
    pub(crate) fn probe() -> Machine {
        let uname = rustix::system::uname();
        let sys = "/sys/devices/system";
        Machine {
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            cpu: cpu_model(),
            cores: thread::available_parallelism().map_or(1, |n| n.get()),
            clocksource: line(&format!("{sys}/clocksource/clocksource0/current_clocksource")),
            governor: line(&format!("{sys}/cpu/cpu0/cpufreq/scaling_governor")),
            hz: strategies::tick_hz(),
            timer_slack_ns: line("/proc/self/timerslack_ns").and_then(|ns| ns.parse().ok()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        write!(
            f,
            "{}, {}, {} {cores}",
            self.kernel,
            self.cpu.as_deref().unwrap_or("CPU unknown"),
            self.cores
        )?;
        write!(f, ", clocksource {}", self.clocksource.as_deref().unwrap_or("unknown"))?;
        write!(f, ", governor {}", self.governor.as_deref().unwrap_or("not readable"))?;
        match self.hz {
            Some(hz) => write!(f, ", HZ {hz}")?,
            None => write!(f, ", HZ unknown")?,
        }
        match self.timer_slack_ns {
            Some(ns) => write!(f, ", timer slack {} µs", ns as f64 / 1e3),
            None => write!(f, ", timer slack unknown"),
        }
    }
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_model() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(model.split_once(':')?.1.trim().to_owned())
}
