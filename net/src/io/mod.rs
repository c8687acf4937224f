//! Byte streams, whoever they are of: copying between them, bounding them, joining them.
//!
//! Everything here is over the traits of `futures-io`, so that it holds for [`TcpStream`](crate::TcpStream), for
//! what is layered on top of it, and for streams of other crates. Errors travel through these traits
//! inside `io::Error` and come out whole: [`Error::from_io`](crate::Error::from_io).

mod bounded;
mod chain;
mod copy;
mod guard;
mod read_to_end;
mod scoped;
pub(crate) mod scratch;
mod take;
pub(crate) mod throughput;

pub use bounded::Bounded;
pub use chain::{Chain, chain};
pub use copy::{Copied, CopyBidirectional, CopyOptions, Flow, FlowEnd, copy, copy_bidirectional};
pub use read_to_end::read_to_end;
pub use take::{Take, take};
#[cfg(feature = "http")]
pub(crate) use throughput::Meter;
pub use throughput::Throughput;
