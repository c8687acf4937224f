//! A loop with something wrong in it, and the endpoint that shows what.
//!
//! ```text
//! cargo run --release --features debug --example debug_endpoint
//! ```
//!
//! It prints the address of its page; open it in a browser. A thousand timers fire late now and then, because one task
//! blocks for 50 ms: the page says which. Ctrl-C ends it.

use std::time::Duration;

use punctual::net::Error;
use punctual::{Runtime, debug, sleep, spawn};

const BLOCKS: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| debug::Server::DEFAULT_ADDRESS.to_owned());
    Runtime::new()?.block_on(async {
        let endpoint = debug::Server::builder().bind(address)?.spawn();
        println!("http://{}/debug/drift", endpoint.local_addr());
        for n in 0..1000 {
            drop(spawn(timers(Duration::from_micros(500_000 + 997 * n))));
        }
        drop(spawn(async {
            loop {
                sleep(Duration::from_millis(700)).await;
                blocks();
            }
        }));
        std::future::pending::<Result<(), Error>>().await
    })?;
    Ok(())
}

async fn timers(every: Duration) {
    loop {
        sleep(every).await;
    }
}

/// What nobody should do on a loop.
fn blocks() {
    std::thread::sleep(BLOCKS);
}
