//! What a client sends to the server, over a stream in memory and on a virtual clock.

mod responses;
mod strict;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::Shutdown;
use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use punctual_net::http::{Body, service_fn};
use punctual_net::{Duplex, duplex, rig};
use punctual_reactor::{next_turn, spawn};

use crate::input::Input;
use crate::settled;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a client takes before it has had enough.
const ANSWER_MAX: usize = 1 << 20;

/// The head of each request that a handler saw. They are looked at when all is over: a handler that panics is answered for.
type Seen = Rc<RefCell<Vec<Parts>>>;

/// How the client goes about it: from the first two bytes.
#[derive(Clone, Copy)]
struct Manners {
    segment: usize,
    half_closes: bool,
    takes_answers: bool,
    handler_reads: bool,
}

impl Manners {
    fn new(input: &mut Input<'_>) -> Manners {
        let (how, size) = (input.byte(), usize::from(input.byte()));
        Manners {
            segment: if how & 1 == 0 { usize::MAX } else { size + 1 },
            half_closes: how & 2 == 0,
            takes_answers: how & 4 == 0,
            handler_reads: how & 8 == 0,
        }
    }
}

/// The first two bytes are the client's manners, the rest is what it sends.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let manners = Manners::new(&mut input);
    let (sent, seen) = (input.rest(), Seen::default());
    let answer = settled::run(async || converse(sent, manners, seen.clone()).await);
    if sent.starts_with(PREFACE) {
        return;
    }
    responses::check(&answer);
    let seen = seen.borrow();
    seen.iter().for_each(check);
    let requests: Vec<_> =
        seen.iter().map(|head| (head.method.to_string(), head.uri.to_string())).collect();
    strict::check(sent, &requests);
}

async fn converse(sent: &[u8], manners: Manners, seen: Seen) -> Vec<u8> {
    let (client, server) = duplex(64 * 1024);
    let (client, sent) = (Rc::new(client), sent.to_vec());
    let service = service_fn(move |request| handle(request, manners.handler_reads, seen.clone()));
    let serving = spawn(rig::serve_connection(server, service));
    let sending = spawn(send(client.clone(), sent, manners));
    let answer = if manners.takes_answers { take(&client).await } else { Vec::new() };
    serving.await.expect("the connection did not panic");
    client.close();
    sending.await.expect("the client did not panic");
    answer
}

async fn send(client: Rc<Duplex>, sent: Vec<u8>, manners: Manners) {
    for segment in sent.chunks(manners.segment.min(sent.len().max(1))) {
        if client.write_all(segment).await.is_err() {
            return;
        }
        next_turn().await;
    }
    if manners.half_closes {
        let _ = client.shutdown(Shutdown::Write);
    }
}

async fn take(client: &Duplex) -> Vec<u8> {
    let (mut answer, mut room) = (Vec::new(), vec![0; 16 * 1024]);
    while answer.len() < ANSWER_MAX {
        match client.read(&mut room).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&room[..read]),
        }
    }
    answer
}

async fn handle(
    request: Request<Body>,
    reads: bool,
    seen: Seen,
) -> Result<Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    let (method, mut said) = (head.method.to_string(), head.uri.to_string());
    seen.borrow_mut().push(head);
    if reads {
        match body.collect().await {
            Ok(body) => said.push_str(&format!(" {}", body.to_bytes().len())),
            Err(error) => said.push_str(&format!(" {error}")),
        }
    }
    let mut response = Response::new(said);
    // So that it can be told where the response ends.
    if let Ok(method) = method.try_into() {
        response.headers_mut().insert("x-method", method);
    }
    Ok(response)
}

/// Nothing that could be read in two ways comes as far as a handler.
fn check(request: &Parts) {
    let headers = &request.headers;
    let count = |name| headers.get_all(name).iter().count();
    if request.version > Version::HTTP_11 {
        return;
    }
    assert!(count(CONTENT_LENGTH) <= 1 && count(TRANSFER_ENCODING) <= 1, "{request:?}");
    assert!(count(CONTENT_LENGTH) + count(TRANSFER_ENCODING) <= 1, "two lengths: {request:?}");
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        assert!(coding.as_bytes().eq_ignore_ascii_case(b"chunked"), "{request:?}");
        assert_eq!(request.version, Version::HTTP_11, "chunks over HTTP/1.0: {request:?}");
    }
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        assert!(length.as_bytes().iter().all(u8::is_ascii_digit), "{request:?}");
    }
    assert!(
        count(HOST) <= 1 && (count(HOST) == 1 || request.version != Version::HTTP_11),
        "{request:?}"
    );
}
