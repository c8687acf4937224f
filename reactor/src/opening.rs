//! What could not be opened because there was no descriptor for it.

use std::error::Error;
use std::fmt;
use std::io;

use crate::one_line::OneLine;

/// For `map_err`: an error for want of descriptors says what was to be opened. Any other stays as the system gives it.
///
/// It keeps its kind; the system's own error, with its number, is its source.
pub(crate) fn opening<W: fmt::Display>(what: W) -> impl FnOnce(io::Error) -> io::Error {
    move |error| match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            io::Error::new(error.kind(), NoDescriptor { what: what.to_string(), error })
        }
        _ => error,
    }
}

#[derive(Debug)]
struct NoDescriptor {
    what: String,
    error: io::Error,
}

impl fmt::Display for NoDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open {}: {}", OneLine(&self.what), self.error)
    }
}

impl Error for NoDescriptor {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_of_descriptors_is_said_of_what_was_to_be_opened_and_nothing_else_is_touched() {
        for errno in [libc::EMFILE, libc::ENFILE] {
            let bare = io::Error::from_raw_os_error(errno);
            let (kind, words) = (bare.kind(), bare.to_string());
            let error = opening("a pipe")(bare);
            assert_eq!(
                (error.kind(), error.to_string()),
                (kind, format!("cannot open a pipe: {words}"))
            );
            let source = error.get_ref().and_then(|said| said.source());
            let source = source.and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.and_then(io::Error::raw_os_error), Some(errno));
        }
        let other = opening("a pipe")(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(other.raw_os_error(), Some(libc::EACCES));
    }
}
