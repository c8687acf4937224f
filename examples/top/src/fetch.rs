//! Asks a debug endpoint for its state. Every step has a bound.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use punctual::debug::State;
use punctual::net::{Connect, TcpStream};
use punctual::timeout;

use crate::model::Failure;

const PATH: &str = "/debug/state";
const CONNECT: Duration = Duration::from_secs(2);
/// From the connection to the last byte of the answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest document that is read. A state has a bounded size, and this is not it.
const LARGEST: usize = 16 << 20;

/// The state of the loop behind `address`.
///
/// # Errors
/// [`Failure::Silent`] if it was connected and has not answered in [`ANSWER`], as a loop that does not turn: the kernel
/// takes connections in its stead.
pub(crate) async fn state(address: &str) -> Result<State, Failure> {
    let document = document(address).await?;
    serde_json::from_slice(&document)
        .map_err(|error| told(format!("{address} answers with something else than a state: {error}")))
}

/// The same as the bytes that came.
pub(crate) async fn document(address: &str) -> Result<Bytes, Failure> {
    let connect = Connect::to(address).timeout(CONNECT).name("debug endpoint").connect();
    let stream = connect.await.map_err(|error| told(error.to_string()))?;
    match timeout(ANSWER, exchange(stream, address)).await {
        Ok(answer) => answer.map_err(told),
        Err(_) => Err(Failure::Silent),
    }
}

fn told(why: String) -> Failure {
    Failure::Told(why)
}

async fn exchange(stream: TcpStream, address: &str) -> Result<Bytes, String> {
    let broken = |error: hyper::Error| format!("{address} speaks no HTTP to us: {error}");
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let request = Request::get(PATH).header(HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| format!("{address} is no host to ask: {error}"))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {}
            status => {
                return Err(format!("{address} answers {status} to {PATH}: is it a debug endpoint?"));
            }
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("{address} broke off: {error}"))
    };
    beside(connection, answer).await
}

/// Drives `connection` while `work` is under way.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut work = pin!(work);
    let mut driven = true;
    poll_fn(|cx| {
        if driven && connection.as_mut().poll(cx).is_ready() {
            driven = false;
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
