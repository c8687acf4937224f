//! gRPC over HTTP/2: the clients and servers that [tonic](https://docs.rs/tonic/0.14) generates, with deadlines that travel.

mod channel;
mod server;
mod status;
mod timeout;
mod times;

pub use channel::{Channel, ChannelBuilder, ResponseBody};
pub use server::{Answering, CallBody, DeadlineLayer, Deadlines, limits, serve, serve_with, timeouts};
pub use status::error_of;
pub use timeout::{BadTimeout, decode_timeout, encode_timeout};
pub use times::{TOTAL_TIMEOUT, Timeouts};
