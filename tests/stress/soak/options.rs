//! What the command line says.

use std::time::Duration;

use clap::Parser;

/// Ten thousand connections through a proxy that does what networks do, random operations, deadlines and cancels from four
/// threads; it ends with a report, and fails if anything leaked, was early, went astray or never ended.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long the load lasts.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// What everything random is drawn from; without it one is drawn, and printed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Connections at once.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: u32,
    /// How long a connection rests between two operations, on average, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) pause_ms: u64,
    /// The report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which of the processes this one is.
    #[arg(long, hide = true, default_value = "clients")]
    pub(crate) role: Role,
    /// What the proxy stands before, one address after the other.
    #[arg(long, hide = true, value_delimiter = ',')]
    pub(crate) upstreams: Vec<std::net::SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Clients,
    Server,
    Proxy,
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        match text {
            "clients" => Ok(Role::Clients),
            "server" => Ok(Role::Server),
            "proxy" => Ok(Role::Proxy),
            other => Err(format!("no such role: {other}")),
        }
    }
}

impl Options {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.minutes.max(0.0) * 60.0)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.expect("it was drawn before anything else")
    }
}
