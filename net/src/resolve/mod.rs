//! From names to addresses, without blocking the loop.
//!
//! ```text
//!  Resolver::find ── literal, localhost, … ──▶ Found
//!      │ files/     nsswitch.conf orders: /etc/hosts · servers of resolv.conf · getaddrinfo
//!      ├───────────▶ system     helper threads that nobody waits for
//!      ▼
//!  search list ─▶ families     A and AAAA at once; 50 ms after the first, without the other
//!                    ▼
//!                 shared       one query a name and family, for all who ask; the last to go ends it
//!                    ▼             ▲ cache: TTLs, bounded both ways
//!                 query        server after server, try after try, each with leave from `sockets`
//!                    ▼
//!                 exchange     UDP from a fresh port, TCP if need be ──▶ message: what counts as an answer
//! ```

mod found;
mod progress;
mod spans;
mod system;

#[cfg(feature = "dns")]
mod addresses;
#[cfg(feature = "dns")]
mod builder;
#[cfg(feature = "dns")]
mod cache;
#[cfg(feature = "dns")]
mod exchange;
#[cfg(feature = "dns")]
mod failure;
#[cfg(feature = "dns")]
mod families;
#[cfg(feature = "dns")]
mod files;
#[cfg(feature = "dns")]
mod message;
#[cfg(feature = "dns")]
mod metrics;
#[cfg(feature = "dns")]
mod name;
#[cfg(feature = "dns")]
mod query;
#[cfg(feature = "dns")]
mod random;
#[cfg(feature = "dns")]
mod resolver;
#[cfg(all(feature = "dns", feature = "rig"))]
pub(crate) mod rig;
#[cfg(feature = "dns")]
mod shared;
#[cfg(feature = "dns")]
mod sockets;

use crate::error::Error;

#[cfg(feature = "dns")]
pub use addresses::Addresses;
#[cfg(feature = "dns")]
pub use builder::ResolverBuilder;
pub(crate) use found::{Found, Rest};
#[cfg(feature = "dns")]
use metrics::Counters;
#[cfg(feature = "dns")]
pub use metrics::ResolverMetrics;
pub(crate) use progress::Progress;
#[cfg(feature = "dns")]
pub use resolver::Resolver;
pub(crate) use spans::{running, told};

/// The addresses of `host`; nothing bounds it but what the lookup itself does. `progress` says meanwhile what it waits
/// for.
#[cfg(feature = "dns")]
pub(crate) async fn lookup(
    resolver: Option<Resolver>,
    host: &str,
    port: u16,
    progress: &Progress,
) -> Result<Found, Error> {
    let resolver = resolver.unwrap_or_else(Resolver::of_this_runtime);
    Ok(resolver.find(host, progress).await?.with_port(port))
}

/// The addresses of `host`; nothing bounds it but the system's library. `progress` says meanwhile what it waits for.
#[cfg(not(feature = "dns"))]
pub(crate) async fn lookup(host: &str, port: u16, progress: &Progress) -> Result<Found, Error> {
    Ok(system::lookup(host, progress).await?.with_port(port))
}

/// What `work` gives, and the time that it took this thread alone, for tests of what grows with what: others that have the
/// processor do not count.
#[cfg(all(test, feature = "dns"))]
fn timed<T>(work: impl FnOnce() -> T) -> (T, std::time::Duration) {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let before = now();
    let value = work();
    (value, now() - before)
}
