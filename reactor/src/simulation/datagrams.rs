//! Simulated UDP, and the name server.

use std::net::{IpAddr, SocketAddr};

use super::epoll::IN;
use super::kernel::{Errno, FileId, Happening, Kernel, Kind};
use super::network::{Host, Names};
use super::sockets::{Datagrams, Received, Socket};

impl Kernel {
    fn datagrams(&mut self, file: FileId) -> Result<&mut Datagrams, Errno> {
        match self.try_file(file).map(|file| &mut file.kind) {
            Some(Kind::Socket(Socket::Datagrams(datagrams))) => Ok(datagrams),
            _ => Err(libc::ENOTSOCK),
        }
    }

    pub(crate) fn receive_datagram(
        &mut self,
        file: FileId,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<Received, Errno> {
        if let Some(errno) = self.datagrams(file)?.error.take() {
            return Err(errno);
        }
        if !self.datagrams(file)?.queue.is_empty() {
            self.blocks_for_no_reason(file, IN)?;
        }
        let datagrams = self.datagrams(file)?;
        let (from, bytes) = match peek {
            true => datagrams.queue.front().cloned(),
            false => datagrams.queue.pop_front(),
        }
        .ok_or(libc::EAGAIN)?;
        let given = buffer.len().min(bytes.len());
        buffer[..given].copy_from_slice(&bytes[..given]);
        self.note("datagram", &[given as u64]);
        Ok(Received { bytes: given, from: Some(from), truncated: given < bytes.len() })
    }

    pub(crate) fn send_datagram(
        &mut self,
        file: FileId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let datagrams = self.datagrams(file)?;
        if let Some(errno) = datagrams.error.take() {
            return Err(errno);
        }
        let (bound, connected) = (datagrams.local, datagrams.remote);
        let to = to.or(connected).ok_or(libc::EDESTADDRREQ)?;
        let local = self.source_for(bound, to);
        self.datagrams(file)?.local.get_or_insert(local);
        let sender = connected.map(|_| file);
        self.deliver_datagram(local, to, bytes, sender);
        self.note("sent to", &[to.port().into(), bytes.len() as u64]);
        Ok(bytes.len())
    }

    fn deliver_datagram(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        sender: Option<FileId>,
    ) {
        if self.random.happens(self.faults.lost) {
            self.counts.lost += 1;
            return;
        }
        let twice = self.random.happens(self.faults.duplicated);
        self.counts.duplicated += u64::from(twice);
        for _ in 0..=usize::from(twice) {
            let at_ns = self.now_ns + self.latency_ns();
            self.schedule(at_ns, Happening::Datagram { from, to, bytes: bytes.to_vec(), sender });
        }
    }

    /// A datagram has come to `to`; if nobody is there, a connected sender is told.
    pub(crate) fn arrive(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
        sender: Option<FileId>,
    ) {
        match self.host_at(to).cloned() {
            Some(Host::Names(names)) => {
                let delay_ns = names.delay.as_nanos() as u64;
                if let Some(answer) = names.answer(&bytes) {
                    self.now_then(delay_ns, to, from, &answer);
                }
                return;
            }
            Some(Host::BlackHole | Host::Unreachable) => return,
            Some(Host::Peer(_)) | None => {}
        }
        let fits = |datagrams: &Datagrams| {
            let at = datagrams.local.is_some_and(|local| {
                local.port() == to.port() && (local.ip() == to.ip() || local.ip().is_unspecified())
            });
            at && datagrams.remote.is_none_or(|remote| remote == from)
        };
        let found = self.files.iter().flatten().find_map(|file| match &file.kind {
            Kind::Socket(Socket::Datagrams(datagrams)) if fits(datagrams) => Some(file.id),
            _ => None,
        });
        match (found, sender) {
            (Some(file), _) => {
                if let Ok(datagrams) = self.datagrams(file) {
                    datagrams.queue.push_back((from, bytes));
                }
                self.edge(file);
            }
            (None, Some(file)) => {
                let at_ns = self.now_ns + self.latency_ns();
                self.schedule(at_ns, Happening::Unreachable { file });
            }
            (None, None) => {}
        }
    }

    fn now_then(&mut self, delay_ns: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let at_ns = self.now_ns + delay_ns + self.latency_ns();
        if self.random.happens(self.faults.lost) {
            self.counts.lost += 1;
            return;
        }
        self.schedule(at_ns, Happening::Datagram { from, to, bytes: bytes.to_vec(), sender: None });
    }

    /// The sender of a datagram learns that nobody was there.
    pub(crate) fn unreachable(&mut self, file: FileId) {
        if let Ok(datagrams) = self.datagrams(file) {
            datagrams.error = Some(libc::ECONNREFUSED);
            self.edge(file);
        }
    }
}

impl Names {
    /// The answer to a query (RFC 1035, section 4): its question, and the addresses of the family that it asks for.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut at = 12;
        let mut name = String::new();
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = query.get(at..at + length)?;
            name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
            name.push('.');
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        let question_end = at + 4;
        let known = self.addresses.iter().any(|(known, _)| *known == name);
        let records: Vec<Vec<u8>> = self
            .addresses
            .iter()
            .filter(|(known, _)| *known == name)
            .filter_map(|(_, address)| match (kind, address) {
                (1, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
                (28, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
                _ => None,
            })
            .collect();
        let code = if known { 0 } else { 3 };
        let mut answer = query.get(..2)?.to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(query.get(12..question_end)?);
        for record in records {
            // A pointer to the question's name, the type asked for, class IN, a minute to live.
            answer.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
            answer.extend(record);
        }
        Some(answer)
    }
}
