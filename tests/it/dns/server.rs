//! A name server that does what a test says, over UDP and TCP on one port of this host.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const NS: u16 = 2;
pub(crate) const SOA: u16 = 6;
pub(crate) const AAAA: u16 = 28;

pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;

/// One question, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: u16,
    /// In the capitals of the wire, without the final dot.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) edns: bool,
    pub(crate) tcp: bool,
    pub(crate) from: SocketAddr,
    /// How many questions had come before.
    pub(crate) number: usize,
    question: Vec<u8>,
}

impl Asked {
    fn parse(packet: &[u8], tcp: bool, from: SocketAddr, number: usize) -> Asked {
        let (mut name, mut at) = (String::new(), 12);
        while packet[at] != 0 {
            let length = usize::from(packet[at]);
            assert!(length < 64, "a question is not compressed");
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(&packet[at + 1..=at + length]).expect("ASCII"));
            at += length + 1;
        }
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        assert_eq!(
            (word(2), word(4), word(6), word(8)),
            (0x0100, 1, 0, 0),
            "recursion is asked for; one question"
        );
        assert_eq!(word(at + 3), 1, "class IN");
        let edns = word(10) == 1;
        if edns {
            assert_eq!(
                packet[at + 5..at + 10],
                [0, 0, 41, 1232u16.to_be_bytes()[0], 1232u16.to_be_bytes()[1]]
            );
        }
        let question = packet[12..at + 5].to_vec();
        Asked { id: word(0), name, kind: word(at + 1), edns, tcp, from, number, question }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// An answer to it that says nothing yet.
    pub(crate) fn answer(&self) -> Reply {
        Reply {
            id: self.id,
            flags: 0x8180,
            question: self.question.clone(),
            counts: [1, 0, 0, 0],
            records: Vec::new(),
        }
    }

    /// An answer with these addresses, if they are of the kind that is asked for.
    pub(crate) fn addresses(&self, ips: &[&str], ttl: u32) -> Reply {
        let ips = ips.iter().map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let of_kind = ips.filter(|ip| ip.is_ipv4() == (self.kind == A));
        of_kind.fold(self.answer(), |reply, ip| reply.address(ip, ttl))
    }

    pub(crate) fn code(&self, code: u8) -> Reply {
        let mut reply = self.answer();
        reply.flags |= u16::from(code);
        reply
    }
}

/// An answer in the making. Records are added in the order of the sections.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) question: Vec<u8>,
    /// Questions, answers, authorities, additional records: what is said, true or not.
    pub(crate) counts: [u16; 4],
    records: Vec<u8>,
}

/// The name of the question.
pub(crate) const ASKED: &[u8] = &[0xc0, 12];

/// A name without compression.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

impl Reply {
    pub(crate) fn address(self, ip: IpAddr, ttl: u32) -> Reply {
        self.address_of(ASKED, ip, ttl)
    }

    pub(crate) fn address_of(self, owner: &[u8], ip: IpAddr, ttl: u32) -> Reply {
        match ip {
            IpAddr::V4(ip) => self.record(1, owner, A, ttl, &ip.octets()),
            IpAddr::V6(ip) => self.record(1, owner, AAAA, ttl, &ip.octets()),
        }
    }

    /// A record in the section with this index.
    pub(crate) fn record(
        mut self,
        section: usize,
        owner: &[u8],
        kind: u16,
        ttl: u32,
        data: &[u8],
    ) -> Reply {
        self.counts[section] += 1;
        self.records.extend_from_slice(owner);
        self.records.extend([kind, 1].iter().flat_map(|word| word.to_be_bytes()));
        self.records.extend(ttl.to_be_bytes());
        self.records.extend((data.len() as u16).to_be_bytes());
        self.records.extend_from_slice(data);
        self
    }

    /// The zone's own record, which says how long a denial holds.
    pub(crate) fn soa(self, zone: &str, ttl: u32, minimum: u32) -> Reply {
        let mut data = [wire("ns"), wire("admin")].concat();
        data.extend([1, 3600, 600, 86_400, minimum].iter().flat_map(|word: &u32| word.to_be_bytes()));
        self.record(2, &wire(zone), SOA, ttl, &data)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Reply {
        self.records.extend_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = [self.id, self.flags].into_iter().chain(self.counts);
        let mut bytes: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        bytes.extend_from_slice(&self.question);
        bytes.extend_from_slice(&self.records);
        bytes
    }
}

/// What the server does about a question.
pub(crate) enum Act {
    Nothing,
    Send(Vec<u8>),
    /// One after the other.
    SendAll(Vec<Vec<u8>>),
    After(Duration, Vec<u8>),
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Act {
        Act::Send(reply.bytes())
    }
}

type Script = Arc<Mutex<dyn FnMut(&Asked) -> Act + Send>>;

/// The server; it ends when it is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start<R: Into<Act>>(script: impl FnMut(&Asked) -> R + Send + 'static) -> Fake {
        Fake::serve(sockets(), script)
    }

    /// On this address, which is free.
    pub(crate) fn start_at<R: Into<Act>>(
        address: SocketAddr,
        script: impl FnMut(&Asked) -> R + Send + 'static,
    ) -> Fake {
        let tcp = TcpListener::bind(address).expect("a free port");
        Fake::serve((UdpSocket::bind(address).expect("a free port"), tcp), script)
    }

    fn serve<R: Into<Act>>(
        (udp, tcp): (UdpSocket, TcpListener),
        mut script: impl FnMut(&Asked) -> R + Send + 'static,
    ) -> Fake {
        let script: Script = Arc::new(Mutex::new(move |asked: &Asked| script(asked).into()));
        let address = udp.local_addr().expect("its address");
        let (asked, over) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let serve_udp = {
            let (script, asked, over) = (script.clone(), asked.clone(), over.clone());
            std::thread::spawn(move || serve_udp(&udp, &script, &asked, &over))
        };
        let serve_tcp = {
            let (asked, over) = (asked.clone(), over.clone());
            std::thread::spawn(move || serve_tcp(&tcp, &script, &asked, &over))
        };
        Fake { address, asked, over, threads: vec![serve_udp, serve_tcp] }
    }

    /// One that hears and does not answer.
    pub(crate) fn silent() -> Fake {
        Fake::start(|_| Act::Nothing)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("whole").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().expect("whole").len()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let knocked = UdpSocket::bind("127.0.0.1:0").and_then(|knock| knock.send_to(&[], self.address));
        drop(TcpStream::connect(self.address));
        if std::thread::panicking() {
            return;
        }
        assert!(knocked.is_ok(), "it cannot be told to end: {knocked:?}");
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok(), "the fake server panicked");
        }
    }
}

/// A UDP and a TCP socket on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        match UdpSocket::bind(tcp.local_addr().expect("its address")) {
            Ok(udp) => return (udp, tcp),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
        }
    }
}

fn hear(script: &Script, asked: &Mutex<Vec<Asked>>, packet: &[u8], tcp: bool, from: SocketAddr) -> Act {
    let mut all = asked.lock().expect("whole");
    let question = Asked::parse(packet, tcp, from, all.len());
    all.push(question.clone());
    drop(all);
    (script.lock().expect("whole"))(&question)
}

fn serve_udp(socket: &UdpSocket, script: &Script, asked: &Mutex<Vec<Asked>>, over: &AtomicBool) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("received");
        if over.load(Ordering::SeqCst) {
            return;
        }
        // Whoever asked may have gone.
        let send = |socket: &UdpSocket, bytes: &[u8]| drop(socket.send_to(bytes, from));
        match hear(script, asked, &buffer[..length], false, from) {
            Act::Nothing => {}
            Act::Send(bytes) => send(socket, &bytes),
            Act::SendAll(packets) => packets.iter().for_each(|bytes| send(socket, bytes)),
            Act::After(delay, bytes) => {
                let socket = socket.try_clone().expect("a descriptor");
                std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    drop(socket.send_to(&bytes, from));
                });
            }
        }
    }
}

fn serve_tcp(listener: &TcpListener, script: &Script, asked: &Mutex<Vec<Asked>>, over: &AtomicBool) {
    loop {
        let (mut stream, from) = listener.accept().expect("accepted");
        if over.load(Ordering::SeqCst) {
            return;
        }
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            continue;
        }
        let mut packet = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut packet).is_err() {
            continue;
        }
        let packets = match hear(script, asked, &packet, true, from) {
            Act::Nothing => Vec::new(),
            Act::Send(bytes) => vec![bytes],
            Act::SendAll(packets) => packets,
            Act::After(delay, bytes) => {
                std::thread::sleep(delay);
                vec![bytes]
            }
        };
        for bytes in packets {
            drop(stream.write_all(&[&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat()));
        }
    }
}
