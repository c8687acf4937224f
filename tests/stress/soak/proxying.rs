//! The process of the proxy.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;

use punctual_tests_stress::proxy::{FaultProxy, Faults};
use punctual_tests_stress::rig::{self, MS};

use crate::options::Options;
use crate::talk::{self, Order};

pub(crate) fn run(options: &Options) {
    rig::raise_descriptors();
    let orders = talk::orders();
    let seed = options.seed();
    let proxy = FaultProxy::start(&options.upstreams, move |client| plan(seed, client));
    talk::say(&proxy.addresses());
    let mut healed = false;
    loop {
        let order = orders.load(Ordering::Acquire);
        if order >= Order::Heal as u8 && !healed {
            healed = true;
            proxy.heal();
            // Until it has.
            std::thread::sleep(20 * MS);
            talk::say(&"healed");
        }
        if order == Order::Finish as u8 {
            break;
        }
        std::thread::sleep(5 * MS);
    }
    let done: BTreeMap<&str, u64> = proxy.done().into_iter().collect();
    talk::say(&done);
}

/// Connections of the load have addresses of their own; those of the HTTP client are told apart by their ports.
fn plan(seed: u64, client: SocketAddr) -> Faults {
    if client.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        Faults::drawn_by_port(seed, client)
    } else {
        Faults::drawn(seed, client)
    }
}
