//! gRPC over HTTP/2: the clients and servers that [tonic](https://docs.rs/tonic/0.14) generates, with deadlines that travel.

mod timeout;

pub use timeout::{BadTimeout, decode_timeout, encode_timeout};
