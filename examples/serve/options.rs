//! The command line. Each timeout has the default of the library.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use punctual::http::{Limits, ServerTimeouts};
use punctual::net::Error;
use punctual::tls::Acceptor;

/// Serves files and echoes over HTTP/1.1 and HTTP/2, with every phase under a deadline.
#[derive(Clone, Parser)]
pub(crate) struct Options {
    /// Address and port to listen on; port 0 chooses one
    pub(crate) address: String,
    /// Serves the files of this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Over TLS, with this certificate chain and its key, both in PEM
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    pub(crate) tls: Option<Vec<PathBuf>>,
    /// How many cores serve, each with a runtime of its own; 0 is all of them
    #[arg(long, default_value_t = 1)]
    pub(crate) cores: usize,
    /// Tells what the runtime of the first core does, on this address
    #[cfg(feature = "debug")]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) debug: Option<String>,
    /// How long what was begun may take to finish, after SIGTERM or Ctrl-C
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) drain: Duration,
    /// From the accept to the first byte [default: 15s]
    #[arg(long, value_parser = duration)]
    first_byte: Option<Duration>,
    /// For a TLS handshake [default: 10s]
    #[arg(long, value_parser = duration)]
    handshake: Option<Duration>,
    /// For all headers of a request together [default: 30s]
    #[arg(long, value_parser = duration)]
    header: Option<Duration>,
    /// For each wait for a part of a request's body [default: 30s]
    #[arg(long, value_parser = duration)]
    body_idle: Option<Duration>,
    /// From the headers to the last byte of the answer [default: 5m]
    #[arg(long, value_parser = duration)]
    total: Option<Duration>,
    /// For how long a client may take nothing of its answer [default: 30s]
    #[arg(long, value_parser = duration)]
    write_stall: Option<Duration>,
    /// From an answer to the next request of a connection [default: 75s]
    #[arg(long, value_parser = duration)]
    keep_alive: Option<Duration>,
    /// The most bytes in the body of a request [default: 2 MiB]
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// The most connections at once, on each core [default: 80 % of the descriptors there may be]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<usize>,
    /// The most requests of one connection [default: 1000]
    #[arg(long, value_name = "COUNT")]
    max_requests: Option<u64>,
}

impl Options {
    pub(crate) fn timeouts(&self) -> ServerTimeouts {
        let mut timeouts = ServerTimeouts::default();
        let choices = [
            (self.first_byte, &mut timeouts.first_byte),
            (self.handshake, &mut timeouts.tls),
            (self.header, &mut timeouts.header),
            (self.body_idle, &mut timeouts.body_idle),
            (self.total, &mut timeouts.total),
            (self.write_stall, &mut timeouts.write_stall),
            (self.keep_alive, &mut timeouts.keep_alive),
        ];
        for (chosen, timeout) in choices {
            *timeout = chosen.unwrap_or(*timeout);
        }
        timeouts
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.body = self.max_body.unwrap_or(limits.body);
        limits.requests_per_connection = self.max_requests.unwrap_or(limits.requests_per_connection);
        if let Some(connections) = self.max_connections {
            limits.connections = connections;
            limits.connections_per_ip = connections;
        }
        limits
    }

    pub(crate) fn acceptor(&self) -> Result<Option<Acceptor>, Error> {
        match self.tls.as_deref() {
            Some([certificate, key]) => Acceptor::from_pem_files(certificate, key).map(Some),
            _ => Ok(None),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing can be done in no time".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}
