//! Writes the public interface of a crate, an item a line, from what rustdoc says of it in JSON.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo rustdoc -p punctual --all-features -- -Zunstable-options --output-format json
//! cargo run -p punctual-tests-api -- target/doc/punctual.json
//! ```

use std::error::Error;
use std::io::{Write, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which file? `api target/doc/punctual.json`")?;
    // What is derived for every type alike is left out; what holds for a type by its fields, as `Send`, is not: it can be
    // broken without anybody's having meant to.
    let api = public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).build()?;
    let mut out = stdout().lock();
    for item in api.items() {
        writeln!(out, "{item}")?;
    }
    Ok(())
}
