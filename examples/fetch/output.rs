//! Where a body goes. What may block does so on the pool of threads, and the body waits for it: a slow disk or a pager is
//! never taken for a slow server.

use std::fs::OpenOptions;
use std::io::{self, Write};

use hyper::body::Bytes;
use punctual::blocking;

use crate::options::Output;

/// An open [`Output`]; none for one that leads nowhere.
pub(crate) struct Sink(Option<Box<dyn Write + Send>>);

impl Sink {
    /// A file is emptied, unless it is for `more` of the same.
    pub(crate) async fn open(output: Output, more: bool) -> io::Result<Sink> {
        let to: Option<Box<dyn Write + Send>> = match output {
            Output::Nowhere => None,
            Output::Stdout => Some(Box::new(io::stdout())),
            Output::File(path) => {
                let mut options = OpenOptions::new();
                options.create(true).write(true).append(more).truncate(!more);
                let file = blocking(move || {
                    let named = |error: io::Error| {
                        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                    };
                    options.open(&path).map_err(named)
                });
                Some(Box::new(file.await??))
            }
        };
        Ok(Sink(to))
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let Some(mut to) = self.0.take() else { return Ok(()) };
        let (to, written) = blocking(move || {
            let written = to.write_all(&bytes).and_then(|()| to.flush());
            (to, written)
        })
        .await?;
        self.0 = Some(to);
        written
    }
}
