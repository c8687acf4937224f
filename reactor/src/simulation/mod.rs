//! A seeded kernel and network in place of the real ones, for tests (feature `test`, Linux with glibc).
//!
//! ```text
//!   your test ── Runtime, TcpStream, HTTP, TLS …: the code that runs in production
//!                   │ mio, socket2, std
//!                   ▼
//!             libc's functions ── fd ≥ 2^29, or a thread in a simulation ──▶ simulated kernel: clock, epoll, timerfd,
//!                   │                                                          sockets, faults; one PRNG
//!                   ▼                                                        ▲
//!             the real kernel                             scripted peers, name servers, black holes
//! ```
//!
//! With the feature, this crate defines the C functions through which a program asks for sockets, polls, alarms and the time (as
//! `recv`, `epoll_wait`, `clock_gettime`), and hands each call on to the C library, unless the thread is in a [`Simulation`]. So
//! nothing of the runtime, of mio or of the TLS and HTTP libraries is replaced, and all of them run on virtual time. It is a thing for
//! `dev-dependencies`: a program that is shipped should not have it.
//!
//! - **One seed, one run**: the same seed gives the same [trace](Report::trace), as long as the code under test is deterministic
//!   itself; one that starts threads is not.
//! - **Time** stands still while code runs but for what the calls cost, and jumps to whatever comes next when the loop sleeps. An hour
//!   of timeouts takes microseconds. [`Network::busy`] lets time pass as if the loop were held up.
//! - **Checked at every sleep**: that no operation waits for what has come already, that no deadline was left out of the alarm,
//!   that something can still happen; and in the end, that every descriptor was closed.
//! - What is not simulated, as files, Unix sockets, threads and child processes, is the real kernel's, and cannot be waited for here.

mod check;
mod datagrams;
mod epoll;
mod faults;
mod kernel;
mod network;
mod polling;
mod random;
mod run;
mod sockets;
mod tcp;

pub use faults::Faults;
pub use kernel::Counts;
pub use network::Script;
pub use run::{LoopPoint, Network, Report, Simulation};

pub(crate) use epoll::{ERR, HUP, IN, OUT, Told};
pub(crate) use kernel::{Errno, FIRST, Kernel, Kind};
pub(crate) use run::{is_entered, reach_point, with_kernel};
pub(crate) use sockets::Received;
