//! [`Watched`]: a file of the system's, read again when it has changed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use punctual_reactor::Instant;

/// How often a file is looked at, at most, and then only when it is used. Half of the 5 s in which a change has to be
/// seen: what looks half-written gets a second look.
const LOOK_EVERY: Duration = Duration::from_millis(2_500);
/// A file that was written this recently may be written again without looking any different.
const STILL_WARM: Duration = Duration::from_secs(2);

/// What is read of a file.
pub(in crate::resolve) trait Parsed: Sized {
    /// What holds where there is no such file.
    fn missing() -> Self;
    fn parse(text: &str) -> Self;
    /// Whether it looks as if somebody were still writing it.
    fn is_suspect(&self) -> bool;
    /// More of a file than this is not read, in bytes.
    const SIZE_MAX: u64;
}

/// One file, and what it said when it was last read.
///
/// - A file that cannot be read, or is no file, leaves everything as it was; before anything was read it counts as
///   missing.
/// - One that looks half-written is believed when it looks so for a second time.
pub(super) struct Watched<T> {
    path: PathBuf,
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    doubted: bool,
    value: Option<Rc<T>>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T: Parsed> Watched<T> {
    pub(super) fn new(path: PathBuf) -> Watched<T> {
        Watched { path, looked: None, stamp: None, doubted: false, value: None }
    }

    /// What it says, as of at most 2.5 s before `now`.
    pub(super) fn get(&mut self, now: Instant) -> Rc<T> {
        let due = |looked: Instant| now < looked || now - looked >= LOOK_EVERY;
        if self.looked.is_none_or(due) {
            self.looked = Some(now);
            self.look();
        }
        match &self.value {
            Some(value) => value.clone(),
            None => Rc::new(T::missing()),
        }
    }

    fn look(&mut self) {
        match self.read() {
            Ok(None) => {}
            Ok(Some(read)) if read.is_suspect() && self.value.is_some() && !self.doubted => {
                self.doubted = true;
                self.stamp = None;
                tracing::debug!(path = %self.path.display(), "looks half-written");
            }
            Ok(Some(read)) => {
                self.doubted = false;
                self.stamp = read.stamp.is_cold().then_some(read.stamp);
                self.value = Some(Rc::new(read.value));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Somebody who replaces it may have taken the old one away first.
                if std::mem::replace(&mut self.doubted, true) || self.value.is_none() {
                    self.stamp = None;
                    self.value = Some(Rc::new(T::missing()));
                }
            }
            Err(error) => {
                self.stamp = None;
                tracing::warn!(path = %self.path.display(), %error, "cannot be read; what it said last holds");
            }
        }
    }

    /// Reads it, if it has changed.
    fn read(&self) -> io::Result<Option<Reading<T>>> {
        // A pipe must not hold up the loop.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let stamp = Stamp::of(&metadata);
        if self.stamp == Some(stamp) {
            return Ok(None);
        }
        let text = read_at_most(&file, T::SIZE_MAX)?;
        let ends_within_a_line = !text.is_empty() && !text.ends_with('\n');
        Ok(Some(Reading { stamp, value: T::parse(&text), ends_within_a_line }))
    }
}

struct Reading<T> {
    stamp: Stamp,
    value: T,
    ends_within_a_line: bool,
}

impl<T: Parsed> Reading<T> {
    fn is_suspect(&self) -> bool {
        self.value.is_suspect() || self.ends_within_a_line && !self.stamp.is_cold()
    }
}

/// What is not UTF-8 in it, as in a comment, is replaced. A last line that the limit cut is dropped.
fn read_at_most(file: &File, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == limit {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later write would show.
    fn is_cold(&self) -> bool {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified.0.max(0) as u64);
        SystemTime::now().duration_since(modified).is_ok_and(|age| age > STILL_WARM)
    }
}
