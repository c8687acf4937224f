//! What the kernel has of a connection, by `/proc/self/net`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

/// States of TCP, as the kernel numbers them.
pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const FIN_WAIT2: u8 = 5;

pub(crate) struct KernelSocket {
    pub(crate) state: u8,
    /// 0 if no process holds it any more.
    pub(crate) inode: u64,
}

/// The sockets that are connected, or being connected, to `peer`.
pub(crate) fn sockets_to(peer: SocketAddr) -> Vec<KernelSocket> {
    let table = if peer.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let table = fs::read_to_string(table).unwrap_or_default();
    // As the kernel writes them: the words of the address as they lie in memory, the port as a number.
    let address = match peer.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => ip.octets().chunks(4).fold(String::new(), |words, word| {
            let word = word.try_into().map_or(0, u32::from_ne_bytes);
            format!("{words}{word:08X}")
        }),
    };
    let peer = format!("{address}:{:04X}", peer.port());
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (&to, &state, &inode) = (fields.get(2)?, fields.get(3)?, fields.get(9)?);
        let state = u8::from_str_radix(state, 16).ok()?;
        (to == peer).then_some(KernelSocket { state, inode: inode.parse().ok()? })
    });
    sockets.collect()
}

/// How many SYNs to `peer` wait for an answer.
pub(crate) fn syns_to(peer: SocketAddr) -> usize {
    sockets_to(peer).iter().filter(|socket| socket.state == SYN_SENT).count()
}

/// Looks `after` a while, on a thread of its own: the kernel takes its time to list many sockets, which is not the loop's.
pub(crate) fn look<T: Send + 'static>(
    after: Duration,
    at: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        thread::sleep(after);
        at()
    })
}
