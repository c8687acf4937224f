//! Simulated TCP: the two ends of a connection, and what is under way between them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::epoll::{ERR, HUP, IN, OUT, RDHUP};
use super::kernel::{Errno, FileId, Happening, Kernel, Kind};
use super::network::{Host, Script};
use super::sockets::Socket;

/// An end of a connection, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndId(pub(crate) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Open,
    /// Reset, or never established.
    Dead,
}

/// Whose it is.
#[derive(Debug)]
pub(crate) enum Owner {
    File(FileId),
    Script(Box<Script>),
    /// It waits to be accepted there.
    Listener(FileId),
    Nobody,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) owner: Owner,
    pub(crate) peer: Option<EndId>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) stage: Stage,
    pub(crate) received: VecDeque<u8>,
    /// The peer has ended its side.
    pub(crate) ended: bool,
    /// How much more may be sent.
    pub(crate) room: usize,
    window: usize,
    /// A write found too little room, and is to be told of more.
    pub(crate) starved: bool,
    pub(crate) fin_sent: bool,
    pub(crate) shut_read: bool,
    pub(crate) error: Option<Errno>,
    /// When the last that was sent arrives: later ones do not overtake it.
    arrives_ns: u64,
    pub(crate) reset_on_close: bool,
    /// A reset is under way, and nothing comes through any more.
    broken: bool,
}

/// After so many seconds each a SYN is sent again.
const SYN_AGAIN: [u64; 6] = [1, 2, 4, 8, 16, 32];
/// After so long a lost segment is sent again.
const SEGMENT_AGAIN_NS: u64 = 200_000_000;

impl Kernel {
    pub(crate) fn new_end(&mut self, owner: Owner, local: SocketAddr, remote: SocketAddr) -> EndId {
        let range = self.faults.window.clone();
        let width = range.end.saturating_sub(range.start) as u64;
        let window = (range.start + self.random.below(width) as usize).max(1);
        self.ends.push(End {
            owner,
            peer: None,
            local,
            remote,
            stage: Stage::Connecting,
            received: VecDeque::new(),
            ended: false,
            room: window,
            window,
            starved: false,
            fin_sent: false,
            shut_read: false,
            error: None,
            arrives_ns: 0,
            reset_on_close: false,
            broken: false,
        });
        EndId(self.ends.len() - 1)
    }

    pub(crate) fn end(&mut self, id: EndId) -> &mut End {
        &mut self.ends[id.0]
    }

    /// Tells the owner of an end that something has changed.
    pub(crate) fn tell(&mut self, id: EndId) {
        match self.end(id).owner {
            Owner::File(file) => self.edge(file),
            Owner::Script(_) => self.run_script(id),
            Owner::Listener(_) | Owner::Nobody => {}
        }
    }

    pub(crate) fn happen_in_tcp(&mut self, what: Happening) {
        match what {
            Happening::Syn { from, tries } => self.syn(from, tries),
            Happening::Established { end } => self.established(end),
            Happening::Refused { end, errno } => self.refused(end, errno),
            Happening::Bytes { to, bytes } => self.bytes(to, &bytes),
            Happening::Fin { to } => self.fin(to),
            Happening::Reset { to } => self.reset(to),
            Happening::Room { to, bytes } => self.more_room(to, bytes),
            Happening::Resume { end } => self.run_script(end),
            _ => {}
        }
    }

    pub(crate) fn send_syn(&mut self, from: EndId, tries: u32) {
        let at_ns = self.now_ns + self.latency_ns();
        self.schedule(at_ns, Happening::Syn { from, tries });
    }

    fn syn(&mut self, from: EndId, tries: u32) {
        let End { stage, remote: to, local, owner, .. } = self.end(from);
        if *stage != Stage::Connecting || matches!(owner, Owner::Nobody) {
            return;
        }
        let (to, local) = (*to, *local);
        self.note("syn", &[from.0 as u64, tries.into()]);
        if self.random.happens(self.faults.lost) {
            self.counts.lost += 1;
            return self.syn_again(from, tries);
        }
        let owner = match self.hosts.get(&to).cloned() {
            Some(Host::BlackHole) => return self.syn_again(from, tries),
            Some(Host::Unreachable) => return self.refuse(from, libc::EHOSTUNREACH),
            Some(Host::Peer(script)) => Owner::Script(Box::new(script)),
            Some(Host::Names(_)) | None => match self.listener_at(to) {
                None => return self.refuse(from, libc::ECONNREFUSED),
                Some((_, true)) => return self.syn_again(from, tries),
                Some((file, false)) => Owner::Listener(file),
            },
        };
        let end = self.new_end(owner, to, local);
        self.end(end).peer = Some(from);
        self.end(end).stage = Stage::Open;
        self.end(from).peer = Some(end);
        let arrives_ns = self.now_ns + self.latency_ns();
        self.end(end).arrives_ns = arrives_ns;
        self.schedule(arrives_ns, Happening::Established { end: from });
        match self.end(end).owner {
            Owner::Listener(file) => {
                if let Kind::Socket(Socket::Listener { queue, .. }) = &mut self.file(file).kind {
                    queue.push_back(end);
                }
                self.edge(file);
            }
            _ => self.run_script(end),
        }
    }

    fn syn_again(&mut self, from: EndId, tries: u32) {
        match SYN_AGAIN.get(tries as usize) {
            Some(seconds) => {
                let at_ns = self.now_ns + seconds * 1_000_000_000;
                self.schedule(at_ns, Happening::Syn { from, tries: tries + 1 });
            }
            None => {
                let at_ns = self.now_ns + 64_000_000_000;
                self.schedule(at_ns, Happening::Refused { end: from, errno: libc::ETIMEDOUT });
            }
        }
    }

    fn refuse(&mut self, end: EndId, errno: Errno) {
        let at_ns = self.now_ns + self.latency_ns();
        self.schedule(at_ns, Happening::Refused { end, errno });
    }

    fn established(&mut self, id: EndId) {
        let end = self.end(id);
        if matches!(end.owner, Owner::Nobody) {
            return self.send_reset(id);
        }
        if end.stage == Stage::Connecting {
            end.stage = Stage::Open;
            self.note("established", &[id.0 as u64]);
            self.tell(id);
        }
    }

    fn refused(&mut self, id: EndId, errno: Errno) {
        let end = self.end(id);
        if end.stage == Stage::Connecting {
            end.stage = Stage::Dead;
            end.error = Some(errno);
            self.note("refused", &[id.0 as u64, errno as u64]);
            self.tell(id);
        }
    }

    fn bytes(&mut self, to: EndId, bytes: &[u8]) {
        let end = self.end(to);
        if end.stage == Stage::Dead {
            return;
        }
        if matches!(end.owner, Owner::Nobody) {
            return self.send_reset(to);
        }
        end.received.extend(bytes);
        self.note("bytes", &[to.0 as u64, bytes.len() as u64]);
        self.tell(to);
    }

    fn fin(&mut self, to: EndId) {
        if self.end(to).stage == Stage::Open {
            self.end(to).ended = true;
            self.note("fin", &[to.0 as u64]);
            self.tell(to);
        }
    }

    fn reset(&mut self, to: EndId) {
        let end = self.end(to);
        if end.stage == Stage::Dead {
            return;
        }
        end.error = Some(match end.stage {
            Stage::Connecting => libc::ECONNREFUSED,
            _ if end.ended => libc::EPIPE,
            _ => libc::ECONNRESET,
        });
        end.stage = Stage::Dead;
        self.note("reset", &[to.0 as u64]);
        self.tell(to);
    }

    /// Sends a reset to the other end, at once.
    pub(crate) fn send_reset(&mut self, from: EndId) {
        self.end(from).stage = Stage::Dead;
        if let Some(to) = self.end(from).peer {
            let at_ns = self.now_ns + self.latency_ns();
            self.schedule(at_ns, Happening::Reset { to });
        }
    }

    fn more_room(&mut self, to: EndId, bytes: usize) {
        let end = self.end(to);
        end.room += bytes;
        if end.starved && end.room * 3 >= end.window && end.stage == Stage::Open {
            end.starved = false;
            self.tell(to);
        }
    }

    /// Hands `bytes` to the network, in pieces.
    fn transmit(&mut self, from: EndId, mut bytes: &[u8]) {
        let Some(to) = self.end(from).peer else { return };
        while !bytes.is_empty() && !self.end(from).broken {
            let in_pieces = self.random.happens(self.faults.pieces);
            let most = bytes.len() as u64;
            let length = if in_pieces { 1 + self.random.below(most) } else { most } as usize;
            let (piece, rest) = bytes.split_at(length);
            bytes = rest;
            if self.random.happens(self.faults.resets) {
                self.counts.resets += 1;
                self.send_reset(from);
                self.end(from).stage = Stage::Open;
                self.end(from).broken = true;
                let at_ns = self.now_ns + self.latency_ns();
                return self.schedule(at_ns, Happening::Reset { to: from });
            }
            let at_ns = self.arrival_ns(from);
            self.schedule(at_ns, Happening::Bytes { to, bytes: piece.to_vec() });
        }
    }

    fn arrival_ns(&mut self, from: EndId) -> u64 {
        let mut at_ns = self.now_ns + self.latency_ns();
        if self.random.happens(self.faults.lost) {
            self.counts.lost += 1;
            at_ns += SEGMENT_AGAIN_NS;
        }
        let end = self.end(from);
        end.arrives_ns = at_ns.max(end.arrives_ns + 1);
        end.arrives_ns
    }

    /// Takes what there is room for; `most` of it, if the kernel is short of memory.
    pub(crate) fn end_send(&mut self, id: EndId, bytes: &[u8], most: usize) -> Result<usize, Errno> {
        let end = self.end(id);
        if let Some(errno) = end.error.take() {
            return Err(errno);
        }
        match end.stage {
            Stage::Connecting => return Err(libc::EAGAIN),
            Stage::Dead => return Err(libc::EPIPE),
            Stage::Open if end.fin_sent => return Err(libc::EPIPE),
            Stage::Open => {}
        }
        let taken = bytes.len().min(end.room).min(most);
        end.starved |= taken < bytes.len();
        if taken == 0 && !bytes.is_empty() {
            return Err(libc::EAGAIN);
        }
        end.room -= taken;
        self.transmit(id, &bytes[..taken]);
        Ok(taken)
    }

    /// Gives what has come, and makes room for as much.
    pub(crate) fn end_receive(
        &mut self,
        id: EndId,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<usize, Errno> {
        let end = self.end(id);
        let given = buffer.len().min(end.received.len());
        if given == 0 && !buffer.is_empty() {
            return match end.error.take() {
                Some(errno) => Err(errno),
                None if end.ended || end.shut_read || end.stage == Stage::Dead => Ok(0),
                None => Err(libc::EAGAIN),
            };
        }
        for (to, from) in buffer.iter_mut().zip(&end.received) {
            *to = *from;
        }
        if !peek {
            end.received.drain(..given);
            let peer = end.peer;
            let at_ns = self.now_ns + self.latency_ns();
            if let Some(to) = peer {
                self.schedule(at_ns, Happening::Room { to, bytes: given });
            }
        }
        Ok(given)
    }

    pub(crate) fn send_fin(&mut self, from: EndId) {
        let end = self.end(from);
        if end.fin_sent || end.stage != Stage::Open {
            return;
        }
        end.fin_sent = true;
        if let Some(to) = end.peer {
            let at_ns = self.arrival_ns(from);
            self.schedule(at_ns, Happening::Fin { to });
        }
    }

    pub(crate) fn close_end(&mut self, id: EndId) {
        let end = self.end(id);
        end.owner = Owner::Nobody;
        let unread = !end.received.is_empty();
        match end.stage {
            Stage::Open if unread || end.reset_on_close => self.send_reset(id),
            Stage::Open => self.send_fin(id),
            // The SYN may have been answered already.
            Stage::Connecting if end.peer.is_some() => self.send_reset(id),
            Stage::Connecting | Stage::Dead => end.stage = Stage::Dead,
        }
    }

    pub(crate) fn state_of_end(&self, id: EndId) -> u32 {
        let end = &self.ends[id.0];
        let mut state = 0;
        if !end.received.is_empty() || end.ended || end.shut_read {
            state |= IN;
        }
        if end.ended || end.shut_read {
            state |= RDHUP;
        }
        match end.stage {
            Stage::Connecting => {}
            Stage::Open if end.fin_sent => state |= OUT,
            Stage::Open => state |= OUT * u32::from(end.room * 3 >= end.window),
            Stage::Dead => state |= IN | OUT | RDHUP | HUP,
        }
        if end.fin_sent && end.ended {
            state |= HUP;
        }
        state | if end.error.is_some() { ERR } else { 0 }
    }
}
