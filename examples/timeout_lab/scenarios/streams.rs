//! Connections that stand, with a peer that does not do its part.

use punctual::net::{Kind, Phase};
use punctual::{sleep, spawn};

use super::{Scenario, Setting, ms};
use crate::judge::Judged;
use crate::kernel::{FIN_WAIT2, KernelSocket, look, sockets_to};
use crate::lab::Lab;
use crate::peers::{pair, reset};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "stalled_read",
        fault: "the peer says nothing",
        set: "read",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(stalled_read(lab)),
    },
    Scenario {
        name: "full_send_buffer",
        fault: "the peer does not read",
        set: "write",
        bound: ms(200),
        lasts: ms(500),
        setting: Setting::Plain,
        run: |lab| Box::pin(full_send_buffer(lab)),
    },
    Scenario {
        name: "half_closed_peer",
        fault: "we sent FIN, the peer never does: FIN_WAIT2",
        set: "read",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(half_closed_peer(lab)),
    },
    Scenario {
        name: "reset",
        fault: "the peer resets after 50 ms",
        set: "read",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Plain,
        run: |lab| Box::pin(reset_by_peer(lab)),
    },
];

async fn stalled_read(lab: &Lab) -> Judged {
    let (client, _server) = pair().await;
    let (_, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            client.read(&mut [0; 64]).await
        })
        .await;
    Ok(outcome.must_be(Kind::Timeout, Phase::Read).explained_by("peer silent"))
}

/// More than the kernel's buffers of both ends can hold.
const MUCH: usize = 64 << 20;

async fn full_send_buffer(lab: &Lab) -> Judged {
    let (client, server) = pair().await;
    let bytes = vec![0x5a; MUCH];
    let (result, outcome) = lab
        .measure(async || {
            client.set_write_timeout(Some(lab.bound))?;
            client.write_all(&bytes).await
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Write).explained_by("window closed");
    let told = result.err().map_or(MUCH as u64, |error| error.transferred());
    // What the error says was taken, the peer can read, and nothing else.
    drop(client);
    let (mut buffer, mut arrived) = (vec![0; 1 << 20], 0);
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        arrived += read as u64;
    }
    outcome.must(told > 0 && told == arrived, || format!("{told} bytes were taken, {arrived} arrived"));
    outcome.happened(format!("the peer does not read; {} KiB were taken", told / 1024));
    Ok(outcome)
}

async fn half_closed_peer(lab: &Lab) -> Judged {
    let (client, server) = pair().await;
    let peer = client.peer_addr();
    let waits = |socket: &KernelSocket| socket.state == FIN_WAIT2;
    let during = look(lab.bound / 2, move || sockets_to(peer).iter().filter(|each| waits(each)).count());
    let (_, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            client.shutdown(std::net::Shutdown::Write)?;
            client.read(&mut [0; 64]).await
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read).explained_by("we ended our side");
    let waited = during.join().expect("no panic");
    outcome.must(waited == 1, || format!("no fault: {waited} sockets were in FIN_WAIT2"));
    drop(client);
    let held = sockets_to(peer).iter().filter(|socket| socket.inode != 0).count();
    outcome.must(held == 0, || format!("{held} sockets are held after they were dropped"));
    drop(server);
    Ok(outcome)
}

async fn reset_by_peer(lab: &Lab) -> Judged {
    let (client, server) = pair().await;
    let resetting = spawn(async move {
        sleep(ms(50)).await;
        reset(&server);
    });
    let (_, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            client.read(&mut [0; 64]).await
        })
        .await;
    let outcome = outcome.must_be(Kind::Kernel(libc::ECONNRESET), Phase::Read);
    let _ = resetting.await;
    Ok(outcome)
}
