//! Files, through the blocking pool, each operation under a deadline (feature `fs`).
//!
//! A disk can take as long as it likes, and no kernel interface says beforehand. So each operation runs as
//! [`blocking`](crate::blocking) work on the runtime's pool: it is bounded, but what the kernel has begun cannot be called
//! off. [`File`] says what that means for each.

mod bounds;
mod file;
mod futures_io;
mod inner;
mod paths;

/// What the audit calls each.
const FILE_OPERATION: &str = "file-operation";

pub use file::File;
pub use paths::{create_dir, create_dir_all, metadata, read, remove_dir, remove_file, rename, write};
