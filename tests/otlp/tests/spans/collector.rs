//! A collector of OTLP over gRPC on a thread of its own, and what it received.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_sdk::trace::SdkTracerProvider;
use punctual::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

/// Longer than anything here takes: only what hangs meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `body` on a runtime of punctual, in the span `caller`, and returns what the collector received of it.
pub(crate) fn traced(body: impl AsyncFnOnce()) -> Trace {
    let (collector, exporter) = Collector::start();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("punctual"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let began_ns = unix_now_ns();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = Runtime::new().expect("a runtime");
        let caller = tracing::info_span!("caller");
        runtime.block_on(body().instrument(caller));
        assert_eq!(runtime.drift().early, 0);
    });
    let ended_ns = unix_now_ns();
    provider.force_flush().expect("exported");
    provider.shutdown().expect("the exporter ends");
    drop(provider);
    let spans = collector.stop();
    let trace = Trace { spans, began_ns, ended_ns };
    trace.check();
    trace
}

/// The tests' own clock, on which the exporter's time stamps are too.
pub(crate) fn unix_now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

struct Collector {
    received: Received,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

type Received = Arc<Mutex<Vec<Span>>>;

struct Service(Received);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans).map(Span::from);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> (Collector, SpanExporter) {
        let received = Received::default();
        let service = Service(received.clone());
        let (tell, told) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime of tokio").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
                let address: SocketAddr = listener.local_addr().expect("its address");
                // Its channel lives on this runtime; the SDK's own thread hands it what is to be sent.
                let exporter = SpanExporter::builder()
                    .with_tonic()
                    .with_endpoint(format!("http://{address}"))
                    .with_timeout(PATIENCE)
                    .build();
                tell.send(exporter.expect("an exporter")).expect("the test waits");
                tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(service))
                    .serve_with_incoming_shutdown(TcpIncoming::from(listener), async {
                        let _ = stopped.await;
                    })
                    .await
                    .expect("served");
            });
        });
        let exporter = told.recv_timeout(PATIENCE).expect("the collector starts");
        (Collector { received, stop, thread }, exporter)
    }

    fn stop(self) -> Vec<Span> {
        let _ = self.stop.send(());
        self.thread.join().expect("the collector ends");
        std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one test sent.
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    trace_id: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) fields: Fields,
    pub(crate) events: Vec<Event>,
    pub(crate) failed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) at_ns: u64,
    pub(crate) fields: Fields,
}

/// Attributes, as the collector has them.
#[derive(Clone, Debug)]
pub(crate) struct Fields(BTreeMap<String, Value>);

impl From<otlp::Span> for Span {
    fn from(span: otlp::Span) -> Span {
        let error = otlp::status::StatusCode::Error as i32;
        Span {
            name: span.name,
            trace_id: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            start_ns: span.start_time_unix_nano,
            end_ns: span.end_time_unix_nano,
            fields: Fields::from(span.attributes),
            events: span.events.into_iter().map(Event::from).collect(),
            failed: span.status.is_some_and(|status| status.code == error),
        }
    }
}

impl From<otlp::span::Event> for Event {
    fn from(event: otlp::span::Event) -> Event {
        let fields = Fields::from(event.attributes);
        Event { name: event.name, at_ns: event.time_unix_nano, fields }
    }
}

impl From<Vec<KeyValue>> for Fields {
    fn from(attributes: Vec<KeyValue>) -> Fields {
        let fields = attributes.into_iter().filter_map(|field| Some((field.key, field.value?.value?)));
        Fields(fields.collect())
    }
}

impl Fields {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{name} is {other:?} in {self:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn whole(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Value::IntValue(number)) => u64::try_from(*number).expect("not negative"),
            other => panic!("{name} is {other:?} in {self:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn truth(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::BoolValue(truth)) => *truth,
            other => panic!("{name} is {other:?} in {self:?}"),
        }
    }

    /// A field in milliseconds.
    #[track_caller]
    pub(crate) fn duration(&self, name: &str) -> Duration {
        match self.0.get(name) {
            Some(Value::DoubleValue(ms)) => Duration::from_nanos((ms * 1e6).round() as u64),
            other => panic!("{name} is {other:?} in {self:?}"),
        }
    }
}

impl Span {
    pub(crate) fn is_child_of(&self, parent: &Span) -> bool {
        self.trace_id == parent.trace_id && self.parent == parent.id
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_ns - self.start_ns)
    }
}

impl Trace {
    /// What holds of every trace: one tree below the caller's span, times within each other and within the test's.
    fn check(&self) {
        let caller = self.only("caller");
        assert!(caller.parent.is_empty());
        for span in &self.spans {
            assert_eq!(span.trace_id, caller.trace_id, "{span:?}");
            assert!(self.began_ns <= span.start_ns && span.start_ns <= span.end_ns, "{span:?}");
            assert!(span.end_ns <= self.ended_ns, "{span:?}");
            if span.id != caller.id {
                let parent = self.spans.iter().find(|parent| span.parent == parent.id);
                let parent = parent.unwrap_or_else(|| panic!("{span:?} is below nobody"));
                assert!(parent.start_ns <= span.start_ns, "{span:?} began before {parent:?}");
                assert!(span.fields.has("outcome"), "{span:?} says not how it ended");
            }
            for event in &span.events {
                let within = span.start_ns..=span.end_ns;
                assert!(within.contains(&event.at_ns), "{event:?} outside of {span:?}");
            }
        }
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.name == name)
    }

    /// The one span of this name.
    #[track_caller]
    pub(crate) fn only<'a>(&'a self, name: &'a str) -> &'a Span {
        let found: Vec<&Span> = self.named(name).collect();
        match found[..] {
            [only] => only,
            _ => panic!("{} spans {name:?} in {:#?}", found.len(), self.spans),
        }
    }

    /// All events that tell of a timeout, with the spans they are in.
    pub(crate) fn timeouts(&self) -> Vec<(&Span, &Event)> {
        let events =
            self.spans.iter().flat_map(|span| span.events.iter().map(move |event| (span, event)));
        events.filter(|(_, event)| event.name.ends_with(".timeout")).collect()
    }

    /// The one timeout, in a span of this name.
    #[track_caller]
    pub(crate) fn only_timeout(&self, name: &str, span: &str) -> (&Span, &Event) {
        let found = self.timeouts();
        match found[..] {
            [(within, event)] if event.name == name && within.name == span => (within, event),
            _ => panic!("not one {name} in {span} but {found:#?}"),
        }
    }
}
