//! The defaults that SECURITY.md names: nothing waits for ever, nothing is unbounded, and nothing secret is told.

use std::fmt::{Debug, Write};
use std::future::IntoFuture;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use punctual::http::{Body, Client, Limits, ServerTimeouts, Timeouts, serve, service_fn};
use punctual::net::{Error, TcpListener};
use punctual::{Runtime, spawn};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[test]
fn every_default_is_bounded() {
    const MOST: Duration = Duration::from_secs(5 * 60);
    let server = ServerTimeouts::default();
    let of_server = [
        ("first_byte", server.first_byte, 15),
        ("tls", server.tls, 10),
        ("header", server.header, 30),
        ("body_idle", server.body_idle, 30),
        ("total", server.total, 300),
        ("write_stall", server.write_stall, 30),
        ("keep_alive", server.keep_alive, 75),
        ("ping_interval", server.ping_interval, 20),
        ("ping_timeout", server.ping_timeout, 20),
        ("farewell", server.farewell, 1),
    ];
    let client = Timeouts::default();
    let of_client = [
        ("connect", client.get_connect(), 30),
        ("resolve", client.get_resolve(), 5),
        ("tls", client.get_tls(), 10),
        ("request_write", client.get_request_write(), 30),
        ("first_byte", client.get_first_byte(), 30),
        ("body_idle", client.get_body_idle(), 30),
        ("total", client.get_total(), 300),
    ];
    for (name, time, seconds) in of_server.into_iter().chain(of_client) {
        assert_eq!(time, Duration::from_secs(seconds), "{name}");
        assert!(time <= MOST, "{name}");
    }
    let limits = Limits::default();
    let descriptors =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(limits.connections as u64 <= (descriptors / 5).saturating_mul(4).max(1));
    assert!(limits.connections_per_ip <= limits.connections);
    let sizes =
        (limits.header_bytes, limits.header_lines, limits.uri_bytes, limits.body, limits.send_buffer);
    assert_eq!(sizes, (64 << 10, 100, 8 << 10, 2 << 20, 64 << 10));
    let counts =
        (limits.requests_per_connection, limits.streams, limits.pending_resets, limits.error_resets);
    assert_eq!(counts, (1000, 128, 20, 256));
}

/// All that is told, in events and spans of any level, by whatever target.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<String>>);

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").expect("there is memory");
    }
}

impl<S: tracing::Subscriber> Layer<S> for Told {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut self.clone());
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        // What hyper and h2 trace is up to who turns that on: they are other targets.
        if event.metadata().target().starts_with("punctual") {
            event.record(&mut self.clone());
        }
    }
}

const SECRETS: [&str; 6] = [
    "hunter2-header",
    "hunter2-cookie",
    "hunter2-body",
    "hunter2-password",
    "hunter2-answer",
    "hunter2-panic",
];

async fn handler(
    request: Request<Body>,
) -> Result<Response<String>, Box<dyn std::error::Error + Send + Sync>> {
    let path = request.uri().path().to_owned();
    drop(request.into_body().collect().await?);
    match path.as_str() {
        "/panic" => panic!("hunter2-panic"),
        // What a service says of its own failure is for whoever runs it: in the events, and never in the response.
        "/error" => Err("the backend is away".into()),
        "/never" => std::future::pending().await,
        _ => Ok(Response::builder()
            .header("set-cookie", "hunter2-cookie")
            .body("hunter2-answer".to_owned())?),
    }
}

#[test]
fn nothing_secret_is_told() {
    let told = Told::default();
    let subscriber = tracing_subscriber::registry().with(told.clone());
    tracing::subscriber::with_default(subscriber, || {
        let runtime = Runtime::new().expect("a runtime");
        let errors = runtime.block_on(exchange());
        writeln!(told.0.lock().unwrap(), "{errors}").expect("there is memory");
    });
    let told = told.0.lock().unwrap();
    for word in ["/never", "the backend is away"] {
        assert!(told.contains(word), "{word} is told: {told}");
    }
    for secret in SECRETS {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

/// Requests that succeed, fail and time out; returns the errors' words.
async fn exchange() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let serving = spawn(IntoFuture::into_future(serve(listener, service_fn(handler))));
    let client = Client::new();
    let mut errors = String::new();
    for path in ["/", "/panic", "/error", "/never"] {
        let timeouts = Timeouts::new().first_byte(Duration::from_millis(50));
        let sent = client
            .post(format!("http://user:hunter2-password@{address}{path}"))
            .header("x-secret", "hunter2-header")
            .header("cookie", "hunter2-cookie")
            .body("hunter2-body")
            .timeouts(timeouts)
            .send();
        match sent.await {
            Ok(response) => drop(response.bytes(1 << 20).await),
            Err(error) => errors.push_str(&explained(&error)),
        }
    }
    serving.abort();
    errors
}

fn explained(error: &Error) -> String {
    format!("{error} {error:?} {:?}\n", error.diagnosis())
}

/// A thousand zeros, by `gzip`.
const BOMB: &[u8] =
    b"\x1f\x8b\x08\0\0\0\0\0\x02\xffc`\x18\x05\xa3`\x14\x0cw\0\0\x80\x17\x0b\x06\xe8\x03\0\0";

async fn compressed(request: Request<Body>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let asked = request.headers().get("accept-encoding");
    let status = if asked.is_none() { 200 } else { 500 };
    let answer = Response::builder().status(status).header("content-encoding", "gzip");
    Ok(answer.body(Full::from(BOMB)).expect("an answer"))
}

#[test]
fn what_is_compressed_is_neither_asked_for_nor_blown_up() {
    Runtime::new().expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serving = spawn(IntoFuture::into_future(serve(listener, service_fn(compressed))));
        let response = Client::new().get(format!("http://{address}/")).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "nobody asked for compression");
        // The limit is on what comes, and there is no other.
        assert_eq!(response.bytes(BOMB.len()).await.expect("as it came"), BOMB);
        serving.abort();
    });
}

/// Names of hosts and headers are others' choice: a table of them is hashed with a key of this process, or it can be made
/// a list (as std's is; a faster hasher would not be).
#[test]
fn no_table_has_a_hasher_without_a_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut looked_at = 0;
    let mut directories: Vec<_> =
        ["timer-wheel/src", "reactor/src", "net/src", "src"].map(|path| root.join(path)).into();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let other = ["with_hasher", "BuildHasher", "FxHash", "ahash::", "HashMap<_, _, "];
            let found = other.iter().find(|word| text.contains(**word));
            assert!(found.is_none(), "{}: {found:?}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 200, "{looked_at} files");
}
