//! What the command line says.

use std::time::Duration;

use clap::Parser;

/// Shows what a running punctual loop does, why it was late, and what waits in it.
#[derive(Parser)]
#[command(name = "top")]
pub(crate) struct Arguments {
    /// Host and port of its debug endpoint, as `127.0.0.1:7070`
    #[arg(value_parser = address)]
    pub address: String,
    /// How often to look, as `500ms` or `2s`
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print one screen as text, of the first interval, and end
    #[arg(long)]
    pub once: bool,
    /// Print the document itself, a line each interval (with --once: one)
    #[arg(long)]
    pub json: bool,
}

fn address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let port = bare.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match port {
        Some((host, 1..)) if !host.is_empty() && !bare.contains(['/', ' ']) => Ok(bare.to_owned()),
        _ => Err("a host and a port are wanted, as 127.0.0.1:7070".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(50);
    match humantime::parse_duration(text) {
        Ok(interval) if interval < LEAST => {
            Err("less than 50ms would show the looking itself".to_owned())
        }
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = ["127.0.0.1:7070", "[::1]:80", "localhost:9", "http://127.0.0.1:7070/"];
        let bare = ["127.0.0.1:7070", "[::1]:80", "localhost:9", "127.0.0.1:7070"];
        assert_eq!(good.map(address), bare.map(|bare| Ok(bare.to_owned())));
        for bad in ["", "127.0.0.1", ":80", "a:b", "a:0", "a:70000", "a:80/debug", "a b:80"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert!(interval("0s").is_err() && interval("soon").is_err());
    }
}
