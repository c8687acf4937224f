//! Deadlines that outlive their connection, or are moved while somebody waits.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use punctual::net::{Kind, Phase, TcpStream};
use punctual::reactor::Direction;
use punctual::spawn;

use super::{Scenario, Setting, ms};
use crate::judge::Judged;
use crate::lab::Lab;
use crate::peers::{listen, number, pair};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "fd_reuse",
        fault: "an old deadline on a reused descriptor",
        set: "read",
        bound: ms(200),
        lasts: ms(250),
        setting: Setting::Plain,
        run: |lab| Box::pin(fd_reuse(lab)),
    },
    Scenario {
        name: "deadline_moved_later",
        fault: "100 ms, moved by a thread at 50 ms",
        set: "read by",
        bound: ms(250),
        lasts: ms(250),
        setting: Setting::Plain,
        run: |lab| Box::pin(deadline_moved(lab, ms(100))),
    },
    Scenario {
        name: "deadline_moved_nearer",
        fault: "10 s, moved by a thread at 50 ms",
        set: "read by",
        bound: ms(150),
        lasts: ms(150),
        setting: Setting::Plain,
        run: |lab| Box::pin(deadline_moved(lab, ms(10_000))),
    },
];

/// A connection ends with its deadline still to come, and the next one is given its number.
async fn fd_reuse(lab: &Lab) -> Judged {
    let (listener, address) = listen();
    let (old, _peer) = pair().await;
    let (reused, old_bound) = (number(&old), lab.bound / 2);
    let (result, outcome) = lab
        .measure(async || {
            old.set_read_timeout(Some(old_bound))?;
            let old = spawn(async move { old.read(&mut [0; 64]).await });
            punctual::yield_now().await;
            old.abort();
            let _ = old.await;
            let stream = TcpStream::from_std(connect_as(reused, address))?;
            stream.set_read_timeout(Some(lab.bound))?;
            stream.read(&mut [0; 64]).await.map(|_| stream)
        })
        .await;
    drop((listener, result));
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read).explained_by("peer silent");
    outcome.happened(format!("fd {reused} reused; the old {} ms ended nobody", old_bound.as_millis()));
    Ok(outcome)
}

/// The kernel gives out the lowest number that is free.
fn connect_as(number: i32, address: SocketAddr) -> std::net::TcpStream {
    let mut lower = Vec::new();
    loop {
        let stream = std::net::TcpStream::connect(address).expect("connected on loopback");
        assert!(stream.as_raw_fd() <= number, "descriptor {number} is free");
        if stream.as_raw_fd() == number {
            return stream;
        }
        lower.push(stream);
    }
}

/// Another thread moves the deadline of a read that waits.
async fn deadline_moved(lab: &Lab, before: Duration) -> Judged {
    let (client, _server) = pair().await;
    let (handle, token) = (lab.runtime.handle(), client.token());
    let (result, outcome) = lab
        .measure(async || {
            let began = handle.now();
            client.set_read_deadline(Some(began + before))?;
            let (handle, deadline) = (handle.clone(), began + lab.bound);
            let mover = std::thread::spawn(move || {
                std::thread::sleep(ms(50));
                handle.set_deadline(token, Direction::Read, Some(deadline))
            });
            let read = client.read(&mut [0; 64]).await;
            mover.join().expect("no panic").expect("the loop is there and not behind");
            read
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read).explained_by("peer silent");
    let told = result.err().and_then(|error| error.deadline().map(|info| info.deadline()));
    outcome
        .must(told.is_some() && told == client.read_deadline(), || "another deadline is blamed".into());
    Ok(outcome)
}
