//! All fetches, as many at once as was asked for.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use punctual::http::Client;
use punctual::tls::Connector;
use punctual::tls::danger::AcceptAnyCertificate;
use punctual::{Runtime, spawn};

use crate::fetch::Fetcher;
use crate::options::{Options, Output, refuse};
use crate::progress::Progress;
use crate::report::{Fetched, Report};
use crate::terminal::Terminal;
use crate::waterfall;

/// Fetches all there is to fetch; prints the waterfall of each when it has ended.
pub(crate) fn all(options: &Options) -> io::Result<Report> {
    let terminal = Terminal::new(options.stdout_is_taken());
    Runtime::new()?.block_on(async {
        let work = Rc::new(Work::new(options, terminal)?);
        let hands: Vec<_> = (0..options.parallel).map(|_| spawn(work.clone().go_on())).collect();
        for hand in hands {
            hand.await.map_err(io::Error::other)??;
        }
        let fetches = work.done.take().into_iter().flatten().collect();
        Ok(Report { version: 1, fetches })
    })
}

/// One for all fetches: they share its connections. Ends the process if a certificate cannot be read.
fn client(options: &Options) -> Client {
    let client =
        Client::builder().timeouts(options.patience.timeouts()).redirects(options.redirects_max());
    let client = match (options.http1, options.http2) {
        (true, _) => client.http1_only(),
        (_, true) => client.http2_prior_knowledge(),
        _ => client,
    };
    let client = match &options.cacert {
        Some(file) => match Connector::with_roots_from_pem_file(file) {
            Ok(connector) => client.tls(connector),
            Err(error) => refuse(&format!("--cacert: {error}")),
        },
        None if options.insecure => client.tls(AcceptAnyCertificate.connector()),
        None => client,
    };
    client.build()
}

struct Work {
    fetcher: Fetcher,
    urls: Vec<String>,
    outputs: Vec<Output>,
    repeat: usize,
    next: Cell<usize>,
    done: RefCell<Vec<Option<Fetched>>>,
    progress: Progress,
    terminal: Option<Terminal>,
}

impl Work {
    fn new(options: &Options, terminal: Terminal) -> io::Result<Work> {
        let progress = Progress::default();
        Ok(Work {
            fetcher: Fetcher::new(options, client(options), progress.clone()),
            urls: options.urls.clone(),
            outputs: options.urls.iter().map(|url| options.output_of(url)).collect(),
            repeat: options.repeat as usize,
            next: Cell::new(0),
            done: RefCell::default(),
            progress,
            terminal: (!options.json).then_some(terminal),
        })
    }

    /// Takes what is next until there is nothing left.
    async fn go_on(self: Rc<Work>) -> io::Result<()> {
        while self.next.get() < self.urls.len() * self.repeat {
            let index = self.next.replace(self.next.get() + 1);
            let url = index % self.urls.len();
            // Only the first bodies are kept; several of them in one place stand there one after another.
            let output =
                if index < self.urls.len() { self.outputs[url].clone() } else { Output::Nowhere };
            let more = self.outputs[..url].contains(&output);
            let fetched = self.fetcher.fetch(&self.urls[url], output, more).await;
            if let Some(terminal) = self.terminal {
                let gap = if self.done.borrow().is_empty() { "" } else { "\n" };
                let text = format!("{gap}{}", waterfall::text(&fetched, terminal.look));
                self.progress.aside(|| terminal.print(&text))?;
            }
            let mut done = self.done.borrow_mut();
            if done.len() <= index {
                done.resize(index + 1, None);
            }
            done[index] = Some(fetched);
        }
        Ok(())
    }
}
