//! The system's own lookup, without blocking the loop.
//!
//! `getaddrinfo` blocks, for as long as it likes, and cannot be called off. So it runs on a few helper
//! threads that nobody ever waits for: a deadline of the loop fires beside them, the process exits
//! beside them, and an answer that comes too late finds nobody.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use punctual_reactor::{BlockingError, BlockingPool};

use super::{Found, Progress};
use crate::error::{DnsFailure, Error, Kind, Phase, Why};

/// Lookups that run at the same time.
const THREADS_MAX: usize = 4;
/// Lookups that wait for a thread.
const QUEUE_MAX: usize = 1024;

/// One for the process, and for nothing else: lookups that hang use up nobody's threads but their own.
static POOL: LazyLock<BlockingPool> =
    LazyLock::new(|| match BlockingPool::new(THREADS_MAX, QUEUE_MAX) {
        Ok(pool) => pool,
        Err(_) => unreachable!("neither is zero"),
    });

type Answer = io::Result<Vec<SocketAddr>>;

/// The addresses of `host`, in the order in which to try them.
pub(super) async fn lookup(host: &str, progress: &Progress) -> Result<Found, Error> {
    let host = host.to_owned();
    let called = Arc::new(AtomicBool::new(false));
    progress.awaits_library(called.clone());
    let ask = move || {
        called.store(true, Ordering::Relaxed);
        Ok((host.as_str(), 0).to_socket_addrs()?.collect())
    };
    let addresses = answer(&POOL, ask).await?;
    if addresses.is_empty() {
        return Err(Why::error(DnsFailure::NoAddress, "the name has no address"));
    }
    Ok(Found::at_once(addresses))
}

/// What `ask` answers on a thread of `pool`.
async fn answer(
    pool: &BlockingPool,
    ask: impl FnOnce() -> Answer + Send + 'static,
) -> Result<Vec<SocketAddr>, Error> {
    let failed = |error| Error::new(Kind::Dns, Phase::Resolve).because(error);
    match pool.run(ask).await {
        Ok(answer) => answer.map_err(failed),
        Err(BlockingError::Overloaded) => Err(Error::new(Kind::Overloaded, Phase::Resolve)),
        Err(BlockingError::NoThread(error)) => Err(Error::kernel(Phase::Resolve, error)),
        Err(BlockingError::Ended(failure)) => Err(Error::failed(Phase::Resolve, failure)),
        Err(panicked) => Err(failed(io::Error::other(panicked.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::{Instant, Runtime, spawn, timeout, yield_now};
    use std::sync::{Mutex, PoisonError, mpsc};
    use std::time::Duration;

    fn pool(threads_max: usize, queue_max: usize) -> BlockingPool {
        BlockingPool::new(threads_max, queue_max).expect("neither is zero")
    }

    fn address(port: u16) -> Answer {
        Ok(vec![([127, 0, 0, 1], port).into()])
    }

    #[test]
    fn n13_stuck_lookups_delay_no_deadline_and_are_bounded() {
        let pool = pool(2, 8);
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let budget = Duration::from_millis(20);
        Runtime::new().expect("a runtime").block_on(async {
            for _ in 0..10 {
                let stuck = stuck.clone();
                let began = Instant::now();
                let hanging = answer(&pool, move || {
                    let _ = stuck.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    address(1)
                });
                let late = timeout(budget, hanging).await;
                assert!(late.is_err() && began.elapsed() >= budget);
            }
            assert!(pool.load().0 <= 2);
            // What was given up makes room, and does not run.
            let kept: Vec<_> = (0..8)
                .map(|port| {
                    let pool = pool.clone();
                    spawn(async move { answer(&pool, move || address(port)).await })
                })
                .collect();
            while pool.load().1 < 8 {
                yield_now().await;
            }
            let refused = answer(&pool, || address(9)).await.expect_err("the queue is bounded");
            assert_eq!((refused.kind(), refused.phase()), (Kind::Overloaded, Phase::Resolve));
            assert!(refused.is_retry_safe());
            drop(release);
            for (port, lookup) in kept.into_iter().enumerate() {
                let addresses = lookup.await.expect("no panic").expect("an answer");
                assert_eq!(addresses[0].port(), port as u16);
            }
        });
    }

    #[test]
    fn a_lookup_that_panics_takes_no_thread_along() {
        let pool = pool(1, 8);
        Runtime::new().expect("a runtime").block_on(async {
            for _ in 0..3 {
                let error = answer(&pool, || panic!("a test's panic")).await.expect_err("it panicked");
                assert_eq!((error.kind(), error.phase()), (Kind::Dns, Phase::Resolve));
            }
            let addresses = answer(&pool, || address(7)).await.expect("an answer");
            assert_eq!(addresses[0].port(), 7);
            assert_eq!(pool.load().0, 1);
        });
    }

    #[test]
    fn names_of_this_host_resolve() {
        Runtime::new().expect("a runtime").block_on(async {
            let found =
                lookup("localhost", &Progress::default()).await.expect("localhost").with_port(80);
            let loopback = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 80;
            assert!(!found.addresses.is_empty() && found.addresses.iter().all(loopback));
            let error = lookup("no-such-name.invalid", &Progress::default())
                .await
                .expect_err("RFC 6761: never resolves");
            assert_eq!((error.kind(), error.phase()), (Kind::Dns, Phase::Resolve));
        });
    }
}
