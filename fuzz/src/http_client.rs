//! What a server answers to the client, over loopback: the client has no other streams than TCP's.

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use punctual_net::http::{Client, Timeouts};
use punctual_net::{TcpListener, TcpStream};
use punctual_reactor::{Clock, spawn};

use crate::input::Input;
use crate::settled;

/// Real time, since real sockets are waited for: little of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a caller takes of a body.
const BODY_MAX: usize = 1 << 20;

/// Of the first byte: whether HTTP/2 is spoken, and how much is sent at a time. The rest is what every connection is
/// answered with.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (how, size) = (input.byte(), usize::from(input.byte()) + 1);
    let answer = input.rest().to_vec();
    settled::run_on(&Clock::monotonic(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let segment = if how & 2 == 0 { usize::MAX } else { size };
        let server = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer_one(&stream, &answer, segment).await;
            }
        });
        ask(address, how & 1 != 0).await;
        server.abort();
        let _ = server.await;
    });
}

async fn answer_one(stream: &TcpStream, answer: &[u8], segment: usize) {
    let _ = (
        stream.set_nodelay(true),
        stream.set_read_timeout(Some(PATIENCE)),
        stream.set_write_timeout(Some(PATIENCE)),
    );
    let mut asked = [0; 4096];
    if stream.read(&mut asked).await.is_err() {
        return;
    }
    for part in answer.chunks(segment.min(answer.len().max(1))) {
        if stream.write_all(part).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    // The rest is the client's to end.
    while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {}
}

async fn ask(address: SocketAddr, http2: bool) {
    let timeouts = Timeouts::new().total(PATIENCE);
    // What it says may lead anywhere: nothing is followed.
    let builder = Client::builder().timeouts(timeouts).redirects(0);
    let client = if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() }.build();
    let asked = client.get(format!("http://{address}/")).send().await;
    match asked {
        Ok(response) => {
            let body = response.bytes(BODY_MAX).await;
            drop(body);
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}
