//! The debug endpoint: what it answers, whom it refuses, and that it bears with nobody for longer than it says.

mod ends;
mod page;
mod refusals;
mod routes;
mod slow;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use punctual::debug::{Builder, Server};
use punctual::{Runtime, blocking};

use crate::support::net::*;
use crate::support::{MS, child, now_ns, skip};

/// Runs `client`, which blocks, beside a loop with the endpoint on it, on both alarms; afterwards nothing of the endpoint
/// is left.
fn served(
    what: &'static str,
    choose: impl Fn(Builder) -> Builder + Sync,
    client: impl Fn(SocketAddr) + Clone + Send + Sync + 'static,
) {
    on_alarms(what, async |_| serve_to(&choose, client.clone()).await);
}

async fn serve_to(choose: impl Fn(Builder) -> Builder, client: impl Fn(SocketAddr) + Send + 'static) {
    let server = choose(Server::builder()).bind("127.0.0.1:0").expect("bound");
    let endpoint = server.spawn();
    let address = endpoint.local_addr();
    let done = blocking(move || client(address)).await;
    endpoint.stop().await.expect("it had not failed");
    done.expect("the client is content");
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// The value of the one header with this name.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Sends `request` as it is and reads to the end.
fn send(address: SocketAddr, request: &str) -> Reply {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read to the end");
    parse(&all)
}

fn parse(all: &[u8]) -> Reply {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the headers");
    let head = String::from_utf8(all[..end].to_vec()).expect("ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Reply { status, head, body: all[end + 4..].to_vec() }
}

/// A request that asks for the connection to be closed.
fn request(method: &str, path: &str, host: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &request("GET", path, &address.to_string(), ""))
}

/// Reads one answer with a content length, and leaves the connection open.
fn read_one(stream: &mut TcpStream) -> Reply {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a byte of the headers");
        all.push(byte[0]);
    }
    let mut reply = parse(&all);
    let length = reply.header("content-length").expect("a length").parse().expect("a number");
    reply.body = vec![0; length];
    stream.read_exact(&mut reply.body).expect("the body");
    reply
}
