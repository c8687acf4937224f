//! The waits that Rust's standard library offers everywhere.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    thread,
};

use super::{Kind, Naive, Wait, now_ns, until};

pub(super) fn kinds() -> [Kind; 2] {
    [
        Kind { name: "thread_sleep", build: |load| Ok(Naive::boxed(ThreadSleep, load)) },
        Kind { name: "so_rcvtimeo", build: |load| Ok(Naive::boxed(ReadTimeout::new()?, load)) },
    ]
}

/// `std::thread::sleep`: `clock_nanosleep`, with the thread's timer slack.
struct ThreadSleep;

impl Wait for ThreadSleep {
    fn wait(&mut self, now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        thread::sleep(until(now_ns, deadline_ns));
        Ok(1)
    }
}

/// `SO_RCVTIMEO` on a blocking loopback socket to which nobody ever writes. Linux counts it in jiffies.
struct ReadTimeout(UdpSocket);

impl ReadTimeout {
    fn new() -> io::Result<Self> {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(ReadTimeout)
    }
}

impl Wait for ReadTimeout {
    fn wait(&mut self, mut now_ns: u64, deadline_ns: u64) -> io::Result<u64> {
        let mut waits = 0;
        loop {
            self.0.set_read_timeout(Some(until(now_ns, deadline_ns)))?;
            waits += 1;
            match self.0.recv(&mut [0]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(waits);
                }
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => now_ns = self::now_ns().min(deadline_ns - 1),
            }
        }
    }
}
