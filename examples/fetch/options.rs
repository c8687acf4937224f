//! The command line. Anything wrong with it is said in one line, before anything is sent, with exit code 2.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use clap::{Parser, error::ErrorKind};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

/// More would be an attack and not a question.
const PARALLEL_MAX: u16 = 256;

#[derive(Parser)]
#[command(
    name = "fetch",
    about = "Fetches URLs, and shows where the time went and how much of each budget was left."
)]
pub(crate) struct Options {
    /// What to fetch, over http or https
    #[arg(required = true, value_name = "URL", value_parser = url)]
    pub(crate) urls: Vec<String>,

    /// The method [default: GET, or POST with --data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body of the request, or @FILE to send what is in it
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,

    /// Where the body goes, `-` being stdout; without it, to stdout if that is no terminal and no --json is asked for
    #[arg(short, long, value_name = "FILE", conflicts_with = "remote_name")]
    output: Option<PathBuf>,
    /// Each body goes to a file here, named as the last part of its URL
    #[arg(short = 'O', long)]
    remote_name: bool,
    /// The status and the headers of the response, too: before the body, or below the waterfall if the body goes nowhere
    #[arg(short, long)]
    pub(crate) include: bool,

    /// Follow redirects
    #[arg(short = 'L', long)]
    location: bool,
    /// How many of them at most
    #[arg(long, value_name = "N", default_value_t = 10, requires = "location", value_parser = clap::value_parser!(u8).range(1..))]
    max_redirs: u8,
    /// A status of 400 or more is a failure
    #[arg(short, long)]
    pub(crate) fail: bool,
    /// HTTP/1.1 and nothing else
    #[arg(long, conflicts_with = "http2")]
    pub(crate) http1: bool,
    /// HTTP/2 and nothing else; in the clear without asking, too
    #[arg(long)]
    pub(crate) http2: bool,
    /// Trust the certificates in this file (PEM), and not those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Trust anybody: whoever is on the way can read and change everything
    #[arg(short = 'k', long, conflicts_with = "cacert")]
    pub(crate) insecure: bool,

    #[command(flatten)]
    pub(crate) patience: Patience,

    /// So many fetches at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARALLEL_MAX)))]
    pub(crate) parallel: u16,
    /// Fetch all of it so many times; only the first bodies are kept
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,

    /// Print one JSON object instead of the waterfall
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the waterfall into this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// How long each phase may take, as `500ms` or `5s`; a bare number is seconds. None can be without end.
#[derive(clap::Args)]
pub(crate) struct Patience {
    /// Finding the addresses of the name
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) resolve_timeout: Duration,
    /// Connecting to one of them
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) connect_timeout: Duration,
    /// The TLS handshake
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) tls_timeout: Duration,
    /// Sending the request
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) write_timeout: Duration,
    /// Waiting for the response to begin
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) first_byte_timeout: Duration,
    /// Silence within the body
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) idle_timeout: Duration,
    /// The fewest bytes a second of the body
    #[arg(long, value_name = "BYTES", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) min_rate: u64,
    /// All of it, redirects included
    #[arg(short, long, value_name = "TIME", default_value = "5min", value_parser = time)]
    pub(crate) max_time: Duration,
}

/// Where a body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// It is counted, and gone.
    Nowhere,
    Stdout,
    File(PathBuf),
}

impl Output {
    /// As the report calls it.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Output::Nowhere => None,
            Output::Stdout => Some("-".to_owned()),
            Output::File(path) => Some(path.display().to_string()),
        }
    }
}

impl Options {
    /// Reads the command line; ends the process if it asks for help or makes no sense.
    pub(crate) fn from_args(stdout_is_terminal: bool) -> Options {
        let mut options = Options::try_parse().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => refuse(&in_one_line(&error.to_string())),
        });
        if options.output.is_none() && !options.remote_name && !options.json && !stdout_is_terminal {
            options.output = Some("-".into());
        }
        options.check();
        options
    }

    /// What no single argument is to blame for.
    fn check(&self) {
        let outputs: Vec<_> = self.urls.iter().map(|url| self.output_of(url)).collect();
        let to_one_place = outputs.iter().any(|output| *output != Output::Nowhere) && !self.remote_name;
        if to_one_place && self.parallel > 1 && outputs.len() > 1 {
            refuse("several bodies at once cannot go to one place: use -O, -o /dev/null or --json");
        }
        for (url, output) in self.urls.iter().zip(&outputs) {
            match output {
                Output::File(path) if path.as_os_str().is_empty() => {
                    refuse(&format!("-O: {url} does not end in the name of a file"));
                }
                Output::File(path) => check_writable("--output", path),
                _ => {}
            }
        }
        if let Some(path) = &self.svg {
            check_writable("--svg", path);
        }
    }

    pub(crate) fn method(&self) -> Method {
        let default = if self.data.is_some() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(default)
    }

    /// The body to send, if there is any; ends the process if it cannot be read.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        let data = self.data.as_ref()?;
        let Some(path) = data.strip_prefix('@') else { return Some(data.clone().into_bytes()) };
        match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => refuse(&format!("cannot read --data {data}: {error}")),
        }
    }

    /// How many redirects are followed.
    pub(crate) fn redirects_max(&self) -> usize {
        if self.location { self.max_redirs.into() } else { 0 }
    }

    pub(crate) fn output_of(&self, url: &str) -> Output {
        match self.output.as_deref() {
            _ if self.remote_name => Output::File(file_name(url).into()),
            None => Output::Nowhere,
            Some(path) if path == Path::new("/dev/null") => Output::Nowhere,
            Some(path) if path == Path::new("-") => Output::Stdout,
            Some(path) => Output::File(path.into()),
        }
    }

    /// Whether any body goes to stdout, which is then no place for a report.
    pub(crate) fn stdout_is_taken(&self) -> bool {
        self.urls.iter().any(|url| self.output_of(url) == Output::Stdout)
    }
}

/// What clap says, up to its first blank line.
fn in_one_line(error: &str) -> String {
    let lines = error.lines().take_while(|line| !line.is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

/// Says what is wrong in one line and ends the process.
pub(crate) fn refuse(why: &str) -> ! {
    eprintln!("fetch: {}", crate::words::harmless(why));
    process::exit(2)
}

/// What comes last in the path; nothing if that is no name.
fn file_name(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit_once('/') {
        None | Some((_, "." | "..")) => "",
        Some((_, name)) => name,
    }
}

/// Without a scheme it is of http; what else is wrong with it, the client says.
fn url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        None => Ok(format!("http://{text}")),
        Some((scheme, _))
            if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            Ok(text.to_owned())
        }
        Some(_) => Err("only http and https are spoken here".to_owned()),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written as `name: value`")?;
    let name = name.trim().parse().map_err(|error| format!("{error}"))?;
    let value = value.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((name, value))
}

fn time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    match time {
        Duration::ZERO => Err("nothing can be done in no time".to_owned()),
        some => Ok(some),
    }
}

/// What was fetched should not end in "permission denied". A file that was not there before is not left behind.
fn check_writable(option: &str, path: &Path) {
    let existed = path.exists();
    match OpenOptions::new().append(true).create(true).open(path) {
        Ok(_) if !existed => drop(fs::remove_file(path)),
        Ok(_) => {}
        Err(error) => refuse(&format!("cannot write {option} {}: {error}", path.display())),
    }
}
