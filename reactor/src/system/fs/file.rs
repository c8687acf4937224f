//! [`File`]: reads and writes of a file that are waited for, and for how long.

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, SeekFrom};
use std::os::unix::fs::FileExt;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::instant::Instant;
use crate::opening::opening;
use crate::system::blocking::blocking_as;
use crate::system::fs::FILE_OPERATION;
use crate::system::fs::futures_io::Polled;
use crate::system::fs::inner::{Effect, Inner};

/// The most that one call moves: it is copied between the caller and the thread.
pub(super) const CHUNK: usize = 256 * 1024;

/// An open regular file. Each operation runs on the [blocking pool](crate::blocking) and may be bounded.
///
/// # When an operation is given up
/// By its deadline, its timeout, or by being dropped:
/// - If no thread had begun with it, **it is not run**.
/// - What a thread is in the midst of **goes on to its end**. A read is forgotten. A write may still come to pass, whole,
///   in part, or not at all, and nobody is told: to know, read it back.
/// - Until such a write has ended, **every later operation of this handle waits for it**, within its own bounds. So they
///   happen in order, and never at the same time.
/// - The position of the handle moves **only when an operation has told its result**. After one that was given up it is
///   where it was: the same write, done again, writes to the same place.
///
/// A file that is dropped is closed when the thread that uses it is done. Nothing is written behind the caller's back: a
/// `write` that has returned is the kernel's, and [`sync_all`](File::sync_all) has it on the disk.
///
/// What has no position (a pipe, a terminal) fails with `ESPIPE`: use an [`AsyncFd`](crate::AsyncFd).
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Runtime, fs::File};
///
/// Runtime::new()?.block_on(async {
///     let mut file = File::open("Cargo.toml").await?;
///     file.set_timeout(Some(Duration::from_secs(2)));
///     let mut text = Vec::new();
///     file.read_to_end(&mut text, 64 * 1024).await?;
///     assert!(text.starts_with(b"[package]"));
///     Ok::<_, punctual_reactor::Failure>(())
/// }).expect("it is there");
/// # std::io::Result::Ok(())
/// ```
pub struct File {
    pub(super) inner: Rc<Inner>,
    pub(super) position: u64,
    /// What the poll-based interface is in the midst of.
    pub(super) polled: Polled,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Failure`].
    ///
    /// # Panics
    /// When polled outside of a runtime, as all that follow.
    pub async fn open(path: impl AsRef<Path>) -> Result<File, Failure> {
        File::open_with(OpenOptions::new().read(true), path).await
    }

    /// Opens a file for writing, empty: one that is there is truncated.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn create(path: impl AsRef<Path>) -> Result<File, Failure> {
        File::open_with(OpenOptions::new().write(true).create(true).truncate(true), path).await
    }

    /// Opens a file as `options` say. An append goes to the end, whatever the position.
    ///
    /// Opening may take long (a file system that is away, a FIFO that nobody has open): bound it by a
    /// [`timeout`](crate::timeout) around this. One that succeeds too late is closed at once.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open_with(options: &OpenOptions, path: impl AsRef<Path>) -> Result<File, Failure> {
        let (options, path) = (options.clone(), path.as_ref().to_owned());
        let open = move || options.open(&path).map_err(opening(path.display()));
        let file = blocking_as(FILE_OPERATION, open).await?.map_err(Failure::Io)?;
        Ok(File::from_std(file))
    }

    /// Takes over a file. Its position is counted from the start.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    #[track_caller]
    pub fn from_std(file: std::fs::File) -> File {
        File { inner: Inner::new(file), position: 0, polled: Polled::Idle }
    }

    /// Gives each operation that begins from now on at most `timeout`.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        let mut bounds = self.inner.bounds.get();
        bounds.timeout = timeout.map(|timeout| (timeout, Location::caller()));
        self.inner.bounds.set(bounds);
    }

    /// Sets or clears the time by which operations that begin from now on must be over. One that begins later fails
    /// untouched.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        let mut bounds = self.inner.bounds.get();
        bounds.deadline = deadline.map(|deadline| (deadline, Location::caller()));
        self.inner.bounds.set(bounds);
    }

    /// Reads from `offset` on what there is, at most `buffer` and 256 KiB; 0 at the end. The position stays. Several may
    /// run at once. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Failure> {
        let read = self.inner.clone().read_at(offset, buffer.len()).await?;
        buffer[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    /// Writes some of `bytes` to `offset`, at most 256 KiB; returns how many. The position stays.
    ///
    /// # Errors
    /// [`Failure`]; see [given up](File#when-an-operation-is-given-up).
    pub async fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Failure> {
        let some: Arc<[u8]> = bytes[..bytes.len().min(CHUNK)].into();
        self.inner.clone().write_at(offset, some).await
    }

    /// Reads from the position on what there is, at most `buffer` and 256 KiB; 0 at the end. Cancel-safe: one that was given
    /// up has read nothing.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.polled = Polled::Idle;
        let read = self.read_at(buffer, self.position).await?;
        self.position += read as u64;
        Ok(read)
    }

    /// Appends everything from the position to the end to `to`, at most `limit` bytes; returns how many those were. Each
    /// read is under the bounds. Cancel-safe: what was read is in `to`.
    ///
    /// # Errors
    /// [`Failure`]; what was read before is in `to`.
    pub async fn read_to_end(&mut self, to: &mut Vec<u8>, limit: usize) -> Result<usize, Failure> {
        self.polled = Polled::Idle;
        let mut total = 0;
        while total < limit {
            let read = self.inner.clone().read_at(self.position, limit - total).await?;
            if read.is_empty() {
                break;
            }
            to.extend_from_slice(&read);
            self.position += read.len() as u64;
            total += read.len();
        }
        Ok(total)
    }

    /// Writes some of `bytes` to the position, at most 256 KiB; returns how many.
    ///
    /// # Errors
    /// [`Failure`]; see [given up](File#when-an-operation-is-given-up).
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.polled = Polled::Idle;
        let written = self.write_at(bytes, self.position).await?;
        self.position += written as u64;
        Ok(written)
    }

    /// Writes all of `bytes` from the position on; each part of it is under the bounds.
    ///
    /// # Errors
    /// [`Failure`]; some may have been written, and the position is behind what is known to be.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(Failure::Io(io::ErrorKind::WriteZero.into())),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Moves the position, and returns it. Only from the end does it take a thread.
    ///
    /// # Errors
    /// [`Failure`]; `InvalidInput` for a position before the start. It has not moved then.
    pub async fn seek(&mut self, to: SeekFrom) -> Result<u64, Failure> {
        self.polled = Polled::Idle;
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.position, by),
            SeekFrom::End(by) => (self.metadata().await?.len(), by),
        };
        self.position = moved(from, by).map_err(Failure::Io)?;
        Ok(self.position)
    }

    /// The position: where the next read or write is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Has all that was written, and what describes the file, on the disk when it returns (`fsync(2)`).
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn sync_all(&self) -> Result<(), Failure> {
        self.inner.clone().run(Effect::None, std::fs::File::sync_all).await
    }

    /// The same without what is not needed to read it back, as its times (`fdatasync(2)`).
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn sync_data(&self) -> Result<(), Failure> {
        self.inner.clone().run(Effect::None, std::fs::File::sync_data).await
    }

    /// Its length, times and permissions.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn metadata(&self) -> Result<Metadata, Failure> {
        self.inner.clone().run(Effect::None, std::fs::File::metadata).await
    }

    /// Cuts it, or extends it with zeros, to `length` bytes. The position stays.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn set_len(&self, length: u64) -> Result<(), Failure> {
        self.inner.clone().run(Effect::Changes, move |file| file.set_len(length)).await
    }

    /// Runs `work` with the file on a thread: for whatever else blocks, as `lock`. It counts as a write when it is given up.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.inner.clone().run(Effect::Changes, work).await
    }
}

impl Inner {
    /// Reads at most `most` bytes from `offset` on.
    pub(super) async fn read_at(self: Rc<Self>, offset: u64, most: usize) -> Result<Vec<u8>, Failure> {
        let read = move |file: &std::fs::File| {
            let mut buffer = vec![0; most.min(CHUNK)];
            let read = retried(|| file.read_at(&mut buffer, offset))?;
            buffer.truncate(read);
            Ok(buffer)
        };
        self.run(Effect::None, read).await
    }

    pub(super) async fn write_at(
        self: Rc<Self>,
        offset: u64,
        bytes: Arc<[u8]>,
    ) -> Result<usize, Failure> {
        self.run(Effect::Changes, move |file| retried(|| file.write_at(&bytes, offset))).await
    }
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// `by` from `from`.
pub(super) fn moved(from: u64, by: i64) -> io::Result<u64> {
    // The kernel's positions are signed.
    let to = from.checked_add_signed(by).filter(|to| i64::try_from(*to).is_ok());
    to.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "a position before the start of the file")
    })
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("file", &self.inner.file)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
