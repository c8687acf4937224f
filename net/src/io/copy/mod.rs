//! Copying: one way, and both ways at once.

mod bidirectional;
mod closing;
mod one_way;
mod options;
mod outcome;
mod pipe;
mod watch;

pub use bidirectional::{CopyBidirectional, copy_bidirectional};
pub use one_way::copy;
pub use options::CopyOptions;
pub use outcome::{Copied, Flow, FlowEnd};
