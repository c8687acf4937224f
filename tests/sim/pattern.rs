//! Bytes that say which connection they are of, and where in it they belong.

/// The byte at `offset` of stream `id`: of two streams, or two places in one, a few in a row are never equal.
#[must_use]
pub fn byte(id: u64, offset: u64) -> u8 {
    let mixed = (id << 40 ^ offset).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// The bytes from `offset` on.
#[must_use]
pub fn bytes(id: u64, offset: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| byte(id, offset + at)).collect()
}

/// Sees that these are the bytes of stream `id` from `offset` on.
///
/// # Panics
/// If they are not: they are another's, out of order, or twice.
#[track_caller]
pub fn check(id: u64, offset: u64, seen: &[u8]) {
    for (at, seen) in seen.iter().enumerate() {
        let at = offset + at as u64;
        assert_eq!(*seen, byte(id, at), "misdelivered: byte {at} of stream {id}");
    }
}
