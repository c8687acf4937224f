//! Fuzz targets: each module has one function `run`, which takes bytes and panics if something does not hold.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run http_server          # or: bash .ci/fuzz http_server, which needs no cargo-fuzz
//! cargo run -p punctual-fuzz --bin http_server -- FILE  # one input again, without the fuzzer
//! cargo test -p punctual-fuzz                           # all that is in corpus/ again
//! ```
//!
//! | target | input | held against |
//! |---|---|---|
//! | [`wheel`] | operations | a `BTreeSet`, step by step |
//! | [`dns_answer`] | a packet | bounds, family, id |
//! | [`resolver_files`] | `resolv.conf`, `nsswitch.conf`, `hosts` | their documented limits |
//! | [`names`] | host names, addresses, URLs, redirects | what may be shown, and to whom credentials may go |
//! | [`grpc`] | `grpc-timeout`, and times | never more time than there was |
//! | [`http_server`] | what a client sends | a strict parser of RFC 9112, in order of requests; nothing left over |
//! | [`http_client`] | what a server answers | an end, and nothing left over |
//! | [`tls`] | what comes instead of a handshake | an error, and nothing left over |

use std::path::PathBuf;

pub mod dns_answer;
pub mod grpc;
pub mod http_client;
pub mod http_server;
pub mod names;
pub mod resolver_files;
pub mod tls;
pub mod wheel;

mod input;
mod settled;

/// Runs `target` on each file that is named on the command line.
///
/// # Panics
/// If `target` does, or a file cannot be read.
pub fn replay_arguments(target: fn(&[u8])) {
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("the file can be read"));
    }
}

#[cfg(test)]
mod corpus;
