//! [`DnsServer`]: a name server that is silent, lies or takes its time.
//!
//! It knows one name's address, as of RFC 1035 section 4: a header of 12 bytes, the question, the answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What it does with a question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Silent,
    /// Answers this much later.
    Slow(Duration),
    /// Says three things that are no answer first: under another id, about another name, and that another name does not exist.
    /// The address in them is [`FORGED`].
    Lying(Duration),
}

/// What a forger would have us connect to.
pub(crate) const FORGED: Ipv4Addr = Ipv4Addr::new(127, 0, 66, 6);

pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    questions: AtomicU32,
}

impl DnsServer {
    /// Answers every question for an address of IPv4 with `truth`, and says that there is none of IPv6.
    pub(crate) fn start(manner: Manner, truth: Ipv4Addr) -> io::Result<DnsServer> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // So often it looks up from waiting.
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = Some(thread::spawn(move || serve(&socket, manner, truth, &seen)));
        Ok(DnsServer { address, shared, thread })
    }

    pub(crate) fn questions(&self) -> u32 {
        self.shared.questions.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // It does not panic.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(socket: &UdpSocket, manner: Manner, truth: Ipv4Addr, shared: &Shared) {
    let mut later: Vec<(Instant, SocketAddr, Vec<u8>)> = Vec::new();
    let mut packet = [0; 512];
    while !shared.over.load(Ordering::Relaxed) {
        if let Ok((length, asker)) = socket.recv_from(&mut packet)
            && let Some(question) = Question::read(&packet[..length])
        {
            shared.questions.fetch_add(1, Ordering::Relaxed);
            let honest = question.answer(question.id, question.name, 0, truth);
            match manner {
                Manner::Silent => {}
                Manner::Slow(delay) => later.push((Instant::now() + delay, asker, honest)),
                Manner::Lying(delay) => {
                    for lie in question.lies() {
                        // What is lost is asked for again.
                        let _ = socket.send_to(&lie, asker);
                    }
                    later.push((Instant::now() + delay, asker, honest));
                }
            }
        }
        let now = Instant::now();
        later.retain(|(due, asker, answer)| {
            let send = *due <= now;
            if send {
                // The asker may have gone.
                let _ = socket.send_to(answer, asker);
            }
            !send
        });
    }
}

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
const NXDOMAIN: u8 = 3;

struct Question<'a> {
    id: u16,
    /// As on the wire, capitals and all.
    name: &'a [u8],
    /// Type and class.
    kind: &'a [u8],
}

impl<'a> Question<'a> {
    fn read(packet: &'a [u8]) -> Option<Question<'a>> {
        let id = u16::from_be_bytes([*packet.first()?, *packet.get(1)?]);
        let rest = packet.get(HEADER..)?;
        let mut at = 0;
        while *rest.get(at)? != 0 {
            at += usize::from(rest[at]) + 1;
        }
        Some(Question { id, name: rest.get(..=at)?, kind: rest.get(at + 1..at + 5)? })
    }

    fn lies(&self) -> [Vec<u8>; 3] {
        let other = b"\x05other\x04test\x00";
        [
            self.answer(self.id ^ 1, self.name, 0, FORGED),
            self.answer(self.id, other, 0, FORGED),
            self.answer(self.id, other, NXDOMAIN, FORGED),
        ]
    }

    fn answer(&self, id: u16, name: &[u8], code: u8, address: Ipv4Addr) -> Vec<u8> {
        let answers = u8::from(self.kind.starts_with(&TYPE_A) && code == 0);
        let mut packet = id.to_be_bytes().to_vec();
        // A response, recursion desired and available; one question.
        packet.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
        packet.extend(name);
        packet.extend(self.kind);
        if answers > 0 {
            // The name is that at offset 12; type A, class IN, a minute to live, four bytes.
            packet.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            packet.extend(address.octets());
        }
        packet
    }
}
