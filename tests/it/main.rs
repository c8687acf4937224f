//! Behaviour by topic, one binary. The ids (`t01`, `d10`, …) are those of the conformance table.

mod support;

mod backpressure; // B
mod bad_input;
mod blame; // B03
mod blocking;
mod byte_streams; // D
mod child_process;
mod connect; // C
mod copy; // X, D23
mod datagrams; // D
mod deadlines; // D
#[cfg(feature = "debug")]
mod debug;
mod diagnosis; // section 10 of the design
#[cfg(feature = "dns")]
mod dns; // N
mod duplex;
mod fds; // F
mod files;
mod half_close; // X
#[cfg(feature = "hyper")]
mod hyper;
mod interrupted; // S04
mod metrics; // M
mod phases; // O8
#[cfg(feature = "pprof")]
mod profile;
mod scopes; // K
mod signal_events; // S
mod signals; // S
mod timers; // T
mod tokens; // F
mod udp;
mod unix;
mod waits; // the audit
mod wakers; // W
