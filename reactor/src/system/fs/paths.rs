//! What is done to files by their names.
//!
//! Each runs on the blocking pool: bound it by a [`timeout`](crate::timeout) around it. One that is given up before a thread
//! has begun with it does not happen; one that a thread is in the midst of may.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;
use crate::opening::opening;
use crate::system::blocking::blocking_as;
use crate::system::fs::FILE_OPERATION;

/// The whole of a file, if that is at most `limit` bytes.
///
/// # Errors
/// [`Failure`]; of kind `FileTooLarge` beyond `limit`.
pub async fn read(path: impl AsRef<Path>, limit: usize) -> Result<Vec<u8>, Failure> {
    let path = path.as_ref().to_owned();
    run(move || {
        let mut bytes = Vec::new();
        let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let file = std::fs::File::open(&path).map_err(opening(path.display()))?;
        file.take(one_more).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            let words = format!("the file is longer than the {limit} bytes that were allowed");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
        }
        Ok(bytes)
    })
    .await
}

/// Writes a file: one that is there is replaced, byte by byte and not all at once.
///
/// # Errors
/// [`Failure`]; some may have been written.
pub async fn write(path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
    let (path, bytes) = (path.as_ref().to_owned(), bytes.into());
    run(move || std::fs::write(&path, bytes).map_err(opening(path.display()))).await
}

/// Gives a file another name, in place of whatever has it (`rename(2)`).
///
/// # Errors
/// [`Failure`].
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Failure> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    run(move || std::fs::rename(from, to)).await
}

/// Removes a file.
///
/// # Errors
/// [`Failure`].
pub async fn remove_file(path: impl AsRef<Path>) -> Result<(), Failure> {
    let path = path.as_ref().to_owned();
    run(move || std::fs::remove_file(path)).await
}

/// Makes a directory.
///
/// # Errors
/// [`Failure`].
pub async fn create_dir(path: impl AsRef<Path>) -> Result<(), Failure> {
    let path = path.as_ref().to_owned();
    run(move || std::fs::create_dir(path)).await
}

/// Makes a directory, and those that it is in.
///
/// # Errors
/// [`Failure`].
pub async fn create_dir_all(path: impl AsRef<Path>) -> Result<(), Failure> {
    let path = path.as_ref().to_owned();
    run(move || std::fs::create_dir_all(path)).await
}

/// Removes an empty directory.
///
/// # Errors
/// [`Failure`].
pub async fn remove_dir(path: impl AsRef<Path>) -> Result<(), Failure> {
    let path = path.as_ref().to_owned();
    run(move || std::fs::remove_dir(path)).await
}

/// What is known of a file: its length, times and permissions.
///
/// # Errors
/// [`Failure`].
pub async fn metadata(path: impl AsRef<Path>) -> Result<Metadata, Failure> {
    let path = path.as_ref().to_owned();
    run(move || std::fs::metadata(path)).await
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    blocking_as(FILE_OPERATION, work).await?.map_err(Failure::Io)
}
