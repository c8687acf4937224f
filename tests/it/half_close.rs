//! Group X: half-close, resets, and what is left in the kernel; and accepting when things go wrong.

mod accepting;
mod closing;
mod ends;
mod readiness;
mod resets;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use punctual::net::{Kind, Phase, Socket, TcpListener, TcpStream};
use punctual::reactor::{Interest, Readiness, Registration, tcp_interest};
use punctual::{Instant, Runtime, sleep, spawn, timeout, yield_now};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::support::net::*;
use crate::support::{MS, child, now_ns, poll_once, skip, wire};

const ECONNRESET: Kind = Kind::Kernel(libc::ECONNRESET);
const EPIPE: Kind = Kind::Kernel(libc::EPIPE);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 + n) as u8).collect()
}

/// Reads until the end or an error; what had come by then, and the error.
async fn read_all<T: Pair>(stream: &Socket<T>) -> (Vec<u8>, Option<Kind>) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (all, None),
            Ok(received) => all.extend_from_slice(&buffer[..received]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

/// Resets the connection.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).expect("set");
    drop(stream);
}
