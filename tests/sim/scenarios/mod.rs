//! The scenarios.

mod churn;
mod deadlines;
mod dial;
mod exchange;
mod http;
mod resolve;
mod scopes;
mod timers;
mod tls;
mod udp;

use std::future::Future;
use std::pin::Pin;

use crate::world::World;

/// One body for both kernels. When it is over, nothing of it may be left.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub body: fn(World) -> Pin<Box<dyn Future<Output = ()>>>,
    /// Whether it needs peers or names that only a simulation has.
    pub simulated_only: bool,
}

macro_rules! scenarios {
    ($($name:ident: $body:path, $simulated_only:literal;)*) => {
        /// All of them.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            body: |world| Box::pin($body(world)),
            simulated_only: $simulated_only,
        }),*];
    };
}

scenarios! {
    exchange: exchange::run, false;
    dial: dial::run, true;
    resolve: resolve::run, true;
    tls: tls::run, false;
    http: http::run, false;
    scopes: scopes::run, false;
    deadlines: deadlines::run, true;
    churn: churn::run, false;
    udp: udp::run, false;
    timers: timers::run, false;
}
