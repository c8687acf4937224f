//! Copying both ways at once: half-close, bounds, backpressure, and what is left behind.

mod bounds;
mod flow;
mod sockets;

use std::time::Duration;

use punctual::net::io::{Copied, CopyOptions, FlowEnd, Throughput, copy_bidirectional};
use punctual::net::{Error, Kind, Phase};
use punctual::{Instant, JoinHandle, VirtualClock, sleep, sleep_until, spawn};

use crate::support::duplex::{Duplex, duplex};
use crate::support::net::*;
use crate::support::{MS, NS, seeds, virtual_runtime, watchdog};

const S: Duration = Duration::from_secs(1);

/// Runs `body` on a virtual clock, and holds the runtime against its baseline.
fn on_virtual(what: &'static str, body: impl AsyncFn(&VirtualClock)) {
    let _watchdog = watchdog(what, S);
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(body(&clock));
    assert_baseline(&runtime);
}

/// Bounds that a test has to reach for: none but what it sets itself.
fn unbounded() -> CopyOptions {
    CopyOptions::new()
        .names("client", "server")
        .idle_timeout(Duration::MAX)
        .half_close_linger(Duration::MAX)
}

/// A proxy in memory: the client's end, the server's end, and the copy between them.
fn proxied(room: usize, options: CopyOptions) -> (Duplex, Duplex, JoinHandle<Result<Copied, Error>>) {
    let (client, proxy_client) = duplex(room);
    let (proxy_server, server) = duplex(room);
    (client, server, spawn(copy_bidirectional(proxy_client, proxy_server, options)))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 + n) as u8).collect()
}

/// Lets everything happen that can happen now.
async fn settle() {
    for _ in 0..20 {
        punctual::yield_now().await;
    }
}
