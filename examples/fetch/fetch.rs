//! One fetch: the request, its response, the body to where it goes, and the account of it.

use std::io;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};
use punctual::Instant;
use punctual::http::{Client, Response, Timeouts};
use punctual::net::Error;

use crate::options::{Options, Output, Patience};
use crate::output::Sink;
use crate::progress::Progress;
use crate::report::{Fetched, Outcome};
use crate::words::harmless;

/// What all fetches have in common.
pub(crate) struct Fetcher {
    client: Client,
    method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// Whether the head of the response stands before its body.
    include: bool,
    /// Whether every report has it.
    json: bool,
    /// Whether a status of 400 or more is a failure.
    fail: bool,
    /// From when on time is counted.
    origin: Instant,
    progress: Progress,
}

/// Why a body did not come to its end, or not to where it was to go.
enum Failed {
    Network(Error),
    Output(io::Error),
}

impl Fetcher {
    pub(crate) fn new(options: &Options, client: Client, progress: Progress) -> Fetcher {
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            headers.append(name, value.clone());
        }
        let body = options.body().map(Bytes::from);
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        Fetcher {
            client,
            method: options.method(),
            headers,
            body,
            include: options.include,
            json: options.json,
            fail: options.fail,
            origin: Instant::now(),
            progress,
        }
    }

    /// The whole body, or why there is none; and where the time went.
    pub(crate) async fn fetch(&self, url: &str, output: Output, more: bool) -> Fetched {
        let mut request = self.client.method(self.method.clone(), url).headers(self.headers.clone());
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Fetched::failed_at_once(url, self.origin, &error),
        };
        // On a terminal once is enough.
        let report_headers = self.json || self.include && output == Output::Nowhere;
        let saved_to = output.name();
        let received = self.receive(&mut response, url, output, more).await;
        let mut fetched = Fetched::of(url, self.origin, &response.timeline());
        fetched.saved_to = saved_to;
        if report_headers {
            fetched.headers =
                response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        }
        match received {
            Ok(()) if self.fail && response.status().as_u16() >= 400 => {
                fetched.outcome = Outcome::Refused
            }
            Ok(()) => {}
            Err(Failed::Network(error)) => return fetched.failed(&error),
            Err(Failed::Output(error)) => return fetched.failed_here(error.to_string()),
        }
        fetched
    }

    /// The body, part by part, to where it goes.
    async fn receive(
        &self,
        response: &mut Response,
        url: &str,
        output: Output,
        more: bool,
    ) -> Result<(), Failed> {
        let to_terminal = output == Output::Stdout && io::IsTerminal::is_terminal(&io::stdout());
        let mut sink = Sink::open(output, more).await.map_err(Failed::Output)?;
        if self.include {
            let head = head(response, to_terminal);
            sink.write(head.into()).await.map_err(Failed::Output)?;
        }
        let mut bar = self.progress.of(url, response.content_length());
        while let Some(frame) = response.body().frame().await {
            // Trailers are read, and not shown.
            let Ok(part) = frame.map_err(Failed::Network)?.into_data() else { continue };
            bar.add(part.len());
            sink.write(part).await.map_err(Failed::Output)?;
        }
        Ok(())
    }
}

impl Patience {
    /// As the client knows them.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts::new()
            .resolve(self.resolve_timeout)
            .connect(self.connect_timeout)
            .tls(self.tls_timeout)
            .request_write(self.write_timeout)
            .first_byte(self.first_byte_timeout)
            .body_idle(self.idle_timeout)
            .min_rate(self.min_rate)
            .total(self.max_time)
    }
}

/// Status and headers as they were sent; for a terminal without anything that it would obey.
fn head(response: &Response, to_terminal: bool) -> Vec<u8> {
    let mut head = format!("{:?} {}\r\n", response.version(), response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        match to_terminal {
            true => head.extend_from_slice(harmless(&text(value)).as_bytes()),
            false => head.extend_from_slice(value.as_bytes()),
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
