//! wrk and h2load.

use std::io;
use std::process::{Command, Output};

use crate::servers::{Kind, Server};

/// One way to ask for more than the server can give.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    http2: bool,
    program: &'static str,
    arguments: &'static [&'static str],
    /// Before the number of seconds.
    duration: &'static str,
    /// What stands before the figure of requests a second, or after it.
    before: &'static str,
    after: &'static str,
}

impl Load {
    pub(crate) const ALL: [Load; 4] = [
        Load::wrk("wrk-c64", &["-t1", "-c64"]),
        Load::wrk("wrk-c1", &["-t1", "-c1"]),
        Load::wrk("wrk-c1000", &["-t1", "-c1000"]),
        Load {
            name: "h2load",
            http2: true,
            program: "h2load",
            arguments: &["-t1", "-c16", "-m10"],
            duration: "-D",
            before: "s, ",
            after: " req/s,",
        },
    ];

    const fn wrk(name: &'static str, arguments: &'static [&'static str]) -> Load {
        let (before, after) = ("Requests/sec:", "");
        Load { name, http2: false, program: "wrk", arguments, duration: "-d", before, after }
    }

    pub(crate) fn command_line(&self, seconds: u32) -> String {
        format!("{} {} {}{seconds}", self.program, self.arguments.join(" "), self.duration)
    }

    fn run(&self, port: u16, seconds: u32) -> io::Result<f64> {
        let mut command = Command::new("taskset");
        command.args(["-c", "1", self.program]).args(self.arguments);
        command.args([self.duration, &seconds.to_string()]);
        let Output { stdout, .. } = command.arg(format!("http://127.0.0.1:{port}/")).output()?;
        let told = String::from_utf8_lossy(&stdout);
        if ["Non-2xx", "Socket errors"].iter().any(|trouble| told.contains(trouble)) {
            return Err(io::Error::other(format!("not all requests were answered: {told}")));
        }
        let rate = told.lines().find_map(|line| {
            let (_, rest) = line.split_once(self.before)?;
            rest.split_once(self.after)
                .map(|(first, rest)| if self.after.is_empty() { rest } else { first })
        });
        let rate = rate.and_then(|word| word.trim().parse().ok()).filter(|rate| *rate > 0.0);
        rate.ok_or_else(|| io::Error::other(format!("{} did not say how many: {told}", self.program)))
    }
}

/// How one server has fared, against tokio's.
pub(crate) struct Measured {
    pub(crate) rate: f64,
    pub(crate) rate_ratio: f64,
    /// Of the ratio.
    pub(crate) quartiles: (f64, f64),
    pub(crate) cpu_us: f64,
    pub(crate) cpu_ratio: f64,
}

/// Runs all servers by turns.
pub(crate) fn compare(load: &Load, rounds: u32, seconds: u32) -> io::Result<Vec<Measured>> {
    let mut servers = Vec::new();
    for kind in Kind::ALL {
        let server = Server::start(kind, load.http2, &["taskset", "-c", "0"])?;
        load.run(server.port, 1)?;
        servers.push(server);
    }
    let mut rates = vec![Vec::new(); servers.len()];
    let mut costs = rates.clone();
    for round in 0..rounds as usize {
        for turn in 0..servers.len() {
            let which = (round + turn) % servers.len();
            let before_ns = servers[which].cpu_ns();
            let rate = load.run(servers[which].port, seconds)?;
            let cpu_us = (servers[which].cpu_ns() - before_ns) as f64 / 1e3;
            rates[which].push(rate);
            costs[which].push(cpu_us / (rate * f64::from(seconds)));
        }
    }
    let measured = |(rate, cost): (&Vec<f64>, &Vec<f64>)| {
        let ratios =
            |of: &[f64], to: &[f64]| -> Vec<f64> { of.iter().zip(to).map(|(a, b)| a / b).collect() };
        let rate_ratios = ratios(rate, &rates[0]);
        Measured {
            rate: quantile(rate, 2),
            rate_ratio: quantile(&rate_ratios, 2),
            quartiles: (quantile(&rate_ratios, 1), quantile(&rate_ratios, 3)),
            cpu_us: quantile(cost, 2),
            cpu_ratio: quantile(&ratios(cost, &costs[0]), 2),
        }
    };
    Ok(rates.iter().zip(&costs).map(measured).collect())
}

/// The quartile of that number; the second is the median.
fn quantile(values: &[f64], quarter: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * quarter / 4]
}
