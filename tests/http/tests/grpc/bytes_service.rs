//! A service whose messages are bytes, written by hand: one unary method, and one that streams both ways.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio_stream::Stream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = BytesCodec;
    type Decoder = BytesCodec;

    fn encoder(&mut self) -> BytesCodec {
        BytesCodec
    }

    fn decoder(&mut self) -> BytesCodec {
        BytesCodec
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, room: &mut EncodeBuf<'_>) -> Result<(), Status> {
        room.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
type Answer<T> = BoxFuture<Response<T>, Status>;
type UnaryHandler = Arc<dyn Fn(Request<Bytes>) -> Answer<Bytes> + Send + Sync>;
type StreamHandler = Arc<dyn Fn(Request<Streaming<Bytes>>) -> Answer<Messages> + Send + Sync>;

/// What the methods do.
#[derive(Clone)]
pub(crate) struct BytesService {
    unary: UnaryHandler,
    stream: StreamHandler,
}

impl BytesService {
    /// Answers each message with itself.
    pub(crate) fn echo() -> BytesService {
        BytesService::unary(|request| async move { Ok(Response::new(request.into_inner())) }).stream(
            |request| async move {
                let messages: Messages = Box::pin(request.into_inner());
                Ok(Response::new(messages))
            },
        )
    }

    pub(crate) fn unary<F>(handler: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> BytesService
    where
        F: Future<Output = Result<Response<Bytes>, Status>> + Send + 'static,
    {
        let stream: StreamHandler =
            Arc::new(|_| Box::pin(async { Err(Status::unimplemented("no stream here")) }));
        BytesService { unary: Arc::new(move |request| Box::pin(handler(request))), stream }
    }

    pub(crate) fn stream<F>(
        self,
        handler: impl Fn(Request<Streaming<Bytes>>) -> F + Send + Sync + 'static,
    ) -> BytesService
    where
        F: Future<Output = Result<Response<Messages>, Status>> + Send + 'static,
    {
        BytesService { stream: Arc::new(move |request| Box::pin(handler(request))), ..self }
    }
}

impl tonic::server::NamedService for BytesService {
    const NAME: &'static str = "test.Bytes";
}

struct Unary(UnaryHandler);

impl tonic::server::UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Answer<Bytes> {
        (self.0)(request)
    }
}

struct Both(StreamHandler);

impl tonic::server::StreamingService<Bytes> for Both {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Answer<Messages>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answer<Messages> {
        (self.0)(request)
    }
}

impl<B> Service<http::Request<B>> for BytesService
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (unary, stream) = (Unary(self.unary.clone()), Both(self.stream.clone()));
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(BytesCodec);
            Ok(match request.uri().path() {
                "/test.Bytes/Unary" => grpc.unary(unary, request).await,
                "/test.Bytes/Stream" => grpc.streaming(stream, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Its client, as tonic would generate it.
#[derive(Clone)]
pub(crate) struct BytesClient<T>(tonic::client::Grpc<T>);

impl<T> BytesClient<T>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    pub(crate) fn new(channel: T) -> BytesClient<T> {
        BytesClient(tonic::client::Grpc::new(channel))
    }

    /// With the authority that tonic's own channel does not need and others do.
    pub(crate) async fn unary(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.0.ready().await.map_err(|_| Status::unknown("not ready"))?;
        self.0.unary(request, PathAndQuery::from_static("/test.Bytes/Unary"), BytesCodec).await
    }

    pub(crate) async fn stream(
        &mut self,
        request: Request<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        self.0.ready().await.map_err(|_| Status::unknown("not ready"))?;
        self.0.streaming(request, PathAndQuery::from_static("/test.Bytes/Stream"), BytesCodec).await
    }
}
