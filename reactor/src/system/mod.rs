//! What a program waits for besides connections: descriptors of any kind, and what the operating system can only do
//! by blocking. It sits on top of the executor and of registrations; the loop knows nothing of it.

mod blocking;
mod blocking_error;
mod fd;
#[cfg(feature = "fs")]
pub mod fs;
mod pipe;
mod pool;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "signal")]
pub mod signal;

pub use blocking::{BlockingPool, blocking};
pub use blocking_error::{BlockingError, BlockingPanic};
pub use fd::{AsyncFd, RegisterError, RegisterErrorKind};
pub use pipe::{PipeReader, PipeWriter, pipe};
