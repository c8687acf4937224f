//! Which request gets which answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use punctual::http::Body;
use punctual::sleep;

use crate::content::{self, Answer, Begun};
use crate::files;
use crate::options::Options;

/// The longest that `/slow` and `/drip` wait at a time, and the most that drips.
const LONGEST: Duration = Duration::from_secs(3600);
const MOST: u64 = 1 << 20;

/// What is served.
pub(crate) struct Site {
    root: Option<PathBuf>,
    scheme: &'static str,
}

impl Site {
    pub(crate) fn of(options: &Options) -> Result<Site, String> {
        let root = options.root.as_ref().map(|root| match root.canonicalize() {
            Ok(real) if real.is_dir() => Ok(real),
            Ok(_) => Err(format!("--root {}: not a directory", root.display())),
            Err(error) => Err(format!("--root {}: {error}", root.display())),
        });
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        Ok(Site { root: root.transpose()?, scheme })
    }

    pub(crate) fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}/", self.scheme)
    }
}

/// Answers `request`; what goes wrong is an answer too.
pub(crate) async fn answer(site: Arc<Site>, request: Request<Body>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let number = |name| query(&request, name);
    Ok(match path {
        "/hello" if get => content::text(StatusCode::OK, "hello\n"),
        "/echo" if request.method() == Method::POST => echo(request).await,
        "/echo" => not_allowed("POST"),
        _ if !get => not_allowed("GET, HEAD"),
        "/slow" => match number("ms").unwrap_or(Some(1000)) {
            Some(ms) => {
                sleep(Duration::from_millis(ms).min(LONGEST)).await;
                content::text(StatusCode::OK, "at last\n")
            }
            None => not_a_number(),
        },
        "/drip" => match (number("bytes").unwrap_or(Some(10)), number("ms").unwrap_or(Some(100))) {
            (Some(bytes), Some(ms)) => drip(bytes.min(MOST), Duration::from_millis(ms).min(LONGEST)),
            _ => not_a_number(),
        },
        _ => match &site.root {
            Some(root) => files::answer(root, &request).await,
            None => content::text(StatusCode::NOT_FOUND, "there are no files here: see --root\n"),
        },
    })
}

/// The number that `name` has in the query, if it is there, and is one.
fn query<B>(request: &Request<B>, name: &str) -> Option<Option<u64>> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name);
    found.next().map(|(_, value)| value.parse().ok())
}

/// Sends each part of the body back as it comes: what is not taken of the answer is not asked for of the request.
async fn echo(request: Request<Body>) -> Answer {
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    let length = request.headers().get(CONTENT_LENGTH).cloned();
    let mut body = request.into_body();
    // To ask for it tells a client that waits for 100 Continue to go on; an answer would tell it not to.
    let begun = match body.frame().await {
        Some(Ok(first)) => content::boxed(Begun { first: Some(first), rest: body }),
        // The server answers for what the client did wrong.
        Some(Err(_)) => return content::text(StatusCode::BAD_REQUEST, "the body broke off\n"),
        None => content::empty(),
    };
    let mut answer = content::answer(StatusCode::OK, begun);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    length.and_then(|length| answer.headers_mut().insert(CONTENT_LENGTH, length));
    answer
}

fn drip(bytes: u64, every: Duration) -> Answer {
    let drops = content::unfold(bytes, bytes, move |left| async move {
        if left == 0 {
            return Ok(None);
        }
        sleep(every).await;
        Ok(Some((Bytes::from_static(b"."), left - 1)))
    });
    content::answer(StatusCode::OK, drops)
}

fn not_a_number() -> Answer {
    content::text(StatusCode::BAD_REQUEST, "give numbers, as ?ms=500\n")
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = content::text(StatusCode::METHOD_NOT_ALLOWED, "not so\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
