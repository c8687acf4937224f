//! The header `grpc-timeout`, both ways.

use std::time::Duration;

use punctual_net::grpc::{decode_timeout, encode_timeout};

use crate::input::Input;

/// The bytes as a header, and as seconds and nanoseconds.
pub fn run(data: &[u8]) {
    if let Ok(said) = decode_timeout(data) {
        let again = encode_timeout(said).map(|header| decode_timeout(header.as_bytes()));
        assert_eq!(again, (!said.is_zero()).then_some(Ok(said)));
    }
    let mut input = Input::new(data);
    let remaining = Duration::new(input.number(), (input.number() % 1_000_000_000) as u32);
    let Some(header) = encode_timeout(remaining) else { return assert!(remaining.is_zero()) };
    let said = decode_timeout(header.as_bytes()).expect("what was written can be read");
    assert!(said <= remaining && !said.is_zero(), "{header:?} says more than {remaining:?}");
    let most = Duration::from_secs(99_999_999 * 3600);
    assert!(
        said >= remaining.min(most) / 100_000 * 99_999,
        "{header:?} says too little of {remaining:?}"
    );
}
