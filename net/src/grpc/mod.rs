//! gRPC over HTTP/2: the clients and servers that [tonic](https://docs.rs/tonic/0.14) generates, with deadlines that travel.

mod channel;
mod status;
mod timeout;
mod timeouts;

pub use channel::{Channel, ChannelBuilder, ResponseBody};
pub use status::error_of;
pub use timeout::{BadTimeout, decode_timeout, encode_timeout};
pub use timeouts::{TOTAL_TIMEOUT, Timeouts};
