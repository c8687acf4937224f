//! What peers and files say, given straight to what reads it: for this project's own fuzzers, and no part of the public
//! interface.
//!
//! Each function checks what must hold of the answer, whatever the input, and panics if it does not.

#[cfg(feature = "http")]
pub use crate::http::client::rig::{follow_redirect, read_url};
#[cfg(feature = "http")]
pub use crate::http::server::rig::serve_connection;
#[cfg(feature = "dns")]
pub use crate::resolve::rig::{judge_answer, read_hosts, read_name, read_nsswitch, read_resolv_conf};
