//! The simulated system calls on sockets.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::epoll::{ERR, HUP, IN, OUT};
use super::kernel::{Errno, FileId, Kernel, Kind};
use super::network::Host;
use super::tcp::{EndId, Owner, Stage};

#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP that neither listens nor connects yet.
    Fresh {
        bound: Option<SocketAddr>,
        reset_on_close: bool,
        ipv6: bool,
    },
    Listener {
        local: SocketAddr,
        queue: VecDeque<EndId>,
        backlog: usize,
    },
    Stream(EndId),
    Datagrams(Datagrams),
}

#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) queue: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) error: Option<Errno>,
    pub(crate) ipv6: bool,
}

/// What `recv` and its kin have found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) truncated: bool,
}

/// How `SIOCINQ`, `SIOCOUTQ` and `TCP_INFO` see a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) state: u8,
    pub(crate) unread: usize,
}

impl Kernel {
    pub(crate) fn socket(&mut self, domain: i32, kind: i32) -> Result<i32, Errno> {
        self.begin_call("socket")?;
        let ipv6 = match domain {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        self.lacks_descriptors()?;
        let socket = match kind & 0xf {
            libc::SOCK_STREAM => Socket::Fresh { bound: None, reset_on_close: false, ipv6 },
            libc::SOCK_DGRAM => Socket::Datagrams(Datagrams {
                local: None,
                remote: None,
                queue: VecDeque::new(),
                error: None,
                ipv6,
            }),
            _ => return Err(libc::ESOCKTNOSUPPORT),
        };
        let fd = self.open(Kind::Socket(socket));
        self.note("socket", &[fd as u64]);
        Ok(fd)
    }

    pub(crate) fn socket_of(&mut self, fd: i32) -> Result<(FileId, &mut Socket), Errno> {
        let file = self.file_of(fd)?;
        match &mut self.file(file).kind {
            Kind::Socket(socket) => Ok((file, socket)),
            _ => Err(libc::ENOTSOCK),
        }
    }

    pub(crate) fn bind(&mut self, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        self.begin_call("bind")?;
        let address = self.with_port(address);
        let taken = |socket: &Socket| match socket {
            Socket::Listener { local, .. } => *local == address,
            _ => false,
        };
        let datagrams = matches!(self.socket_of(fd)?.1, Socket::Datagrams(_));
        if !datagrams && self.sockets().any(|(_, socket)| taken(socket)) {
            return Err(libc::EADDRINUSE);
        }
        match self.socket_of(fd)?.1 {
            Socket::Fresh { bound, .. } => *bound = Some(address),
            Socket::Datagrams(datagrams) => datagrams.local = Some(address),
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }

    fn with_port(&mut self, mut address: SocketAddr) -> SocketAddr {
        if address.port() == 0 {
            address.set_port(self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        }
        address
    }

    fn sockets(&self) -> impl Iterator<Item = (&super::kernel::File, &Socket)> {
        self.files.iter().flatten().filter_map(|file| match &file.kind {
            Kind::Socket(socket) => Some((file, socket)),
            _ => None,
        })
    }

    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Result<(), Errno> {
        self.begin_call("listen")?;
        let (_, socket) = self.socket_of(fd)?;
        let Socket::Fresh { bound: Some(local), .. } = socket else { return Err(libc::EINVAL) };
        let backlog = backlog.clamp(0, 4_096) as usize;
        *socket = Socket::Listener { local: *local, queue: VecDeque::new(), backlog };
        Ok(())
    }

    /// Who listens at `address`, and whether there is no room for another.
    pub(crate) fn listener_at(&mut self, address: SocketAddr) -> Option<(FileId, bool)> {
        let fits = |local: &SocketAddr| {
            local.port() == address.port() && (local.ip() == address.ip() || local.ip().is_unspecified())
        };
        self.sockets().find_map(|(file, socket)| match socket {
            Socket::Listener { local, queue, backlog } if fits(local) => {
                Some((file.id, queue.len() > *backlog))
            }
            _ => None,
        })
    }

    /// The address from which `to` is reached.
    pub(crate) fn source_for(&mut self, bound: Option<SocketAddr>, to: SocketAddr) -> SocketAddr {
        let ip = match to.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(ip),
            IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(ip),
            IpAddr::V4(_) => Ipv4Addr::new(10, 255, 255, 1).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xffff).into(),
        };
        let bound = bound.unwrap_or(SocketAddr::new(ip, 0));
        let ip = if bound.ip().is_unspecified() { ip } else { bound.ip() };
        self.with_port(SocketAddr::new(ip, bound.port()))
    }

    pub(crate) fn connect(&mut self, fd: i32, to: SocketAddr) -> Result<(), Errno> {
        self.begin_call("connect")?;
        let (file, socket) = self.socket_of(fd)?;
        match socket {
            Socket::Fresh { bound, reset_on_close, .. } => {
                let (bound, reset_on_close) = (*bound, *reset_on_close);
                let local = self.source_for(bound, to);
                let end = self.new_end(Owner::File(file), local, to);
                self.end(end).reset_on_close = reset_on_close;
                self.file(file).kind = Kind::Socket(Socket::Stream(end));
                self.send_syn(end, 0);
                self.note("connect", &[end.0 as u64, to.port().into()]);
                Err(libc::EINPROGRESS)
            }
            Socket::Datagrams(datagrams) => {
                let bound = datagrams.local;
                let local = self.source_for(bound, to);
                if let Socket::Datagrams(datagrams) = self.socket_of(fd)?.1 {
                    datagrams.remote = Some(to);
                    datagrams.local = Some(local);
                }
                Ok(())
            }
            &mut Socket::Stream(end) => match self.end(end).stage {
                Stage::Connecting => Err(libc::EALREADY),
                _ => Err(libc::EISCONN),
            },
            Socket::Listener { .. } => Err(libc::EINVAL),
        }
    }

    pub(crate) fn accept(&mut self, fd: i32) -> Result<(i32, SocketAddr), Errno> {
        self.begin_slow_call("accept")?;
        let (file, socket) = self.socket_of(fd)?;
        let Socket::Listener { queue, .. } = socket else { return Err(libc::EINVAL) };
        if queue.is_empty() {
            return Err(libc::EAGAIN);
        }
        self.file(file).refused = false;
        self.blocks_for_no_reason(file, IN)?;
        if let Err(errno) = self.lacks_descriptors() {
            self.file(file).refused = true;
            return Err(errno);
        }
        let Socket::Listener { queue, .. } = self.socket_of(fd)?.1 else { return Err(libc::EINVAL) };
        let end = queue.pop_front().ok_or(libc::EAGAIN)?;
        if self.random.happens(self.faults.aborted) {
            self.counts.aborted += 1;
            self.end(end).owner = Owner::Nobody;
            self.send_reset(end);
            self.note("aborted", &[end.0 as u64]);
            return Err(libc::ECONNABORTED);
        }
        let accepted = self.open(Kind::Socket(Socket::Stream(end)));
        let file = self.file_of(accepted)?;
        self.end(end).owner = Owner::File(file);
        self.note("accept", &[end.0 as u64, accepted as u64]);
        Ok((accepted, self.ends[end.0].remote))
    }

    pub(crate) fn close_socket(&mut self, socket: Socket) {
        match socket {
            Socket::Stream(end) => self.close_end(end),
            Socket::Listener { queue, .. } => {
                for end in queue {
                    self.end(end).owner = Owner::Nobody;
                    if self.end(end).stage == Stage::Open {
                        self.send_reset(end);
                    }
                }
            }
            Socket::Fresh { .. } | Socket::Datagrams(_) => {}
        }
    }

    pub(crate) fn receive(&mut self, fd: i32, buffer: &mut [u8], flags: i32) -> Result<Received, Errno> {
        self.begin_slow_call("recv")?;
        let peek = flags & libc::MSG_PEEK != 0;
        let (file, socket) = self.socket_of(fd)?;
        match socket {
            Socket::Stream(end) => {
                let end = *end;
                let has_come = self.ends[end.0].received.len();
                if has_come > 0 {
                    self.blocks_for_no_reason(file, IN)?;
                }
                let mut most = buffer.len();
                if !peek && has_come > 1 && self.random.happens(self.faults.short_reads) {
                    most = most.min(1 + self.random.below(has_come as u64) as usize);
                }
                let bytes = self.end_receive(end, &mut buffer[..most], peek)?;
                if most < buffer.len() && bytes < has_come {
                    self.counts.short_reads += 1;
                    self.hold(file, IN);
                }
                self.note("received", &[end.0 as u64, bytes as u64]);
                Ok(Received { bytes, from: None, truncated: false })
            }
            Socket::Datagrams(_) => self.receive_datagram(file, buffer, peek),
            Socket::Fresh { .. } | Socket::Listener { .. } => Err(libc::ENOTCONN),
        }
    }

    pub(crate) fn send(
        &mut self,
        fd: i32,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        self.begin_slow_call("send")?;
        let (file, socket) = self.socket_of(fd)?;
        match socket {
            Socket::Stream(end) => {
                let end = *end;
                if self.ends[end.0].stage == Stage::Open {
                    // It is told of room, once there is some.
                    let blocks = self.blocks_for_no_reason(file, OUT);
                    self.end(end).starved |= blocks.is_err();
                    blocks?;
                }
                let mut most = bytes.len();
                if most > 1 && self.random.happens(self.faults.short_writes) {
                    most = 1 + self.random.below(most as u64 - 1) as usize;
                }
                let sent = self.end_send(end, bytes, most)?;
                if most < bytes.len() && sent == most {
                    self.counts.short_writes += 1;
                    self.hold(file, OUT);
                }
                self.note("sent", &[end.0 as u64, sent as u64]);
                Ok(sent)
            }
            Socket::Datagrams(_) => self.send_datagram(file, bytes, to),
            Socket::Fresh { .. } | Socket::Listener { .. } => Err(libc::ENOTCONN),
        }
    }

    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Result<(), Errno> {
        self.begin_call("shutdown")?;
        let Socket::Stream(end) = *self.socket_of(fd)?.1 else { return Err(libc::ENOTCONN) };
        if self.end(end).stage != Stage::Open {
            return Err(libc::ENOTCONN);
        }
        self.note("shutdown", &[end.0 as u64, how as u64]);
        if how != libc::SHUT_WR {
            self.end(end).shut_read = true;
        }
        if how != libc::SHUT_RD {
            self.send_fin(end);
        }
        self.tell(end);
        Ok(())
    }

    pub(crate) fn name_of(&mut self, fd: i32, of_peer: bool) -> Result<SocketAddr, Errno> {
        self.begin_call("getsockname")?;
        let unnamed = |ipv6: bool| match ipv6 {
            false => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            true => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        match self.socket_of(fd)?.1 {
            &mut Socket::Stream(end) => {
                let end = self.end(end);
                match (of_peer, end.stage) {
                    (false, _) => Ok(end.local),
                    (true, Stage::Open) => Ok(end.remote),
                    (true, _) => Err(libc::ENOTCONN),
                }
            }
            Socket::Datagrams(Datagrams { remote, .. }) if of_peer => remote.ok_or(libc::ENOTCONN),
            Socket::Datagrams(Datagrams { local, ipv6, .. }) => Ok(local.unwrap_or(unnamed(*ipv6))),
            _ if of_peer => Err(libc::ENOTCONN),
            Socket::Fresh { bound, ipv6, .. } => Ok(bound.unwrap_or(unnamed(*ipv6))),
            Socket::Listener { local, .. } => Ok(*local),
        }
    }

    /// `SO_ERROR`: told once.
    pub(crate) fn take_error(&mut self, fd: i32) -> Result<Errno, Errno> {
        self.begin_call("getsockopt")?;
        let error = match self.socket_of(fd)?.1 {
            Socket::Datagrams(datagrams) => datagrams.error.take(),
            Socket::Stream(end) => {
                let end = *end;
                self.end(end).error.take()
            }
            _ => None,
        };
        Ok(error.unwrap_or(0))
    }

    /// Has its close reset the connection (`SO_LINGER` of zero).
    pub(crate) fn reset_on_close(&mut self, fd: i32, on: bool) -> Result<(), Errno> {
        match self.socket_of(fd)?.1 {
            Socket::Fresh { reset_on_close, .. } => *reset_on_close = on,
            Socket::Stream(end) => {
                let end = *end;
                self.end(end).reset_on_close = on;
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn look(&mut self, fd: i32) -> Result<Look, Errno> {
        self.begin_call("ioctl")?;
        match self.socket_of(fd)?.1 {
            &mut Socket::Stream(end) => {
                let end = self.end(end);
                // As in the kernel's net/tcp_states.h.
                let state = match (end.stage, end.fin_sent, end.ended) {
                    (Stage::Connecting, ..) => 2,
                    (Stage::Dead, ..) => 7,
                    (_, false, false) => 1,
                    (_, true, false) => 5,
                    (_, false, true) => 8,
                    (_, true, true) => 6,
                };
                Ok(Look { state, unread: end.received.len() })
            }
            Socket::Listener { .. } => Ok(Look { state: 10, unread: 0 }),
            Socket::Fresh { .. } => Ok(Look { state: 7, unread: 0 }),
            Socket::Datagrams(_) => Err(libc::EOPNOTSUPP),
        }
    }

    pub(crate) fn state_of_socket(&self, socket: &Socket) -> u32 {
        match socket {
            Socket::Fresh { .. } => OUT | HUP,
            Socket::Listener { queue, .. } => IN * u32::from(!queue.is_empty()),
            Socket::Stream(end) => self.state_of_end(*end),
            Socket::Datagrams(Datagrams { queue, error, .. }) => {
                let read = if queue.is_empty() { 0 } else { IN };
                OUT | read | if error.is_some() { IN | ERR } else { 0 }
            }
        }
    }

    /// Whether it is the simulation's own host that is at `address`.
    pub(crate) fn host_at(&self, address: SocketAddr) -> Option<&Host> {
        self.hosts.get(&address)
    }
}
