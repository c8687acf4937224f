//! [`Kernel`]: descriptors, the clock, and what is going to happen when. Everything in it follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::epoll::{Epoll, IN, OUT};
use super::faults::Faults;
use super::network::Host;
use super::random::Random;
use super::sockets::Socket;
use super::tcp::{End, EndId};

/// An error number of the system's.
pub(crate) type Errno = i32;

/// The first simulated descriptor: far beyond those of the real kernel.
pub(crate) const FIRST: i32 = 0x2000_0000;

/// An open file, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(usize);

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    descriptors: usize,
    pub(crate) watched_by: Vec<FileId>,
    /// Bits of its state that are kept back, and are told of when they are [released](Happening::Release).
    pub(crate) held: u32,
    /// Its last call lacked descriptors or memory: that it is ready helps nobody.
    pub(crate) refused: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Epoll(Epoll),
    Event(u64),
    Timer { due_ns: Option<u64>, expired: bool },
    Socket(Socket),
}

/// What happens by itself.
#[derive(Debug)]
pub(crate) enum Happening {
    Alarm { file: FileId, due_ns: u64 },
    Release { file: FileId, bits: u32 },
    Syn { from: EndId, tries: u32 },
    Established { end: EndId },
    Refused { end: EndId, errno: Errno },
    Bytes { to: EndId, bytes: Vec<u8> },
    Fin { to: EndId },
    Reset { to: EndId },
    Room { to: EndId, bytes: usize },
    Resume { end: EndId },
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8>, sender: Option<FileId> },
    Unreachable { file: FileId },
}

struct Scheduled {
    at_ns: u64,
    number: u64,
    what: Happening,
}

/// How often each thing went wrong in a simulation, and what went on in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// System calls made.
    pub calls: u64,
    /// Polls of the loop among them.
    pub polls: u64,
    /// Events told by them.
    pub events: u64,
    /// Interrupted system calls.
    pub interrupted: u64,
    /// Calls told to wait that could have proceeded.
    pub would_block: u64,
    /// Reads cut short.
    pub short_reads: u64,
    /// Writes cut short.
    pub short_writes: u64,
    /// Spurious events.
    pub spurious: u64,
    /// Events of registrations that have ended.
    pub stale: u64,
    /// Polls that kept an event back.
    pub partial: u64,
    /// `EMFILE` and `ENFILE`.
    pub descriptors: u64,
    /// `ECONNABORTED`.
    pub aborted: u64,
    /// Connections reset.
    pub resets: u64,
    /// SYNs, segments and datagrams lost.
    pub lost: u64,
    /// Datagrams that came twice.
    pub duplicated: u64,
    /// Sleeps that ended late.
    pub late: u64,
    /// Jumps of the clock.
    pub jumps: u64,
}

pub(crate) struct Kernel {
    pub(crate) random: Random,
    /// What getrandom(2) gives: who asks for keys, and how often, is not to change what happens.
    pub(crate) secrets: Random,
    pub(crate) faults: Faults,
    pub(crate) now_ns: u64,
    pub(crate) files: Vec<Option<File>>,
    descriptors: Vec<Option<FileId>>,
    pub(crate) ends: Vec<End>,
    pub(crate) hosts: BTreeMap<SocketAddr, Host>,
    pub(crate) next_port: u16,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(crate) counts: Counts,
    pub(crate) calls_max: u64,
    pub(crate) calls_at_last_poll: u64,
    /// Why the simulation cannot go on.
    pub(crate) failure: Option<String>,
    trace: u64,
    verbose: bool,
}

impl Kernel {
    pub(crate) fn new(seed: u64, faults: Faults, calls_max: u64, verbose: bool) -> Kernel {
        Kernel {
            random: Random::new(seed),
            secrets: Random::new(!seed),
            faults,
            now_ns: 1_000_000_000_000,
            files: Vec::new(),
            descriptors: Vec::new(),
            ends: Vec::new(),
            hosts: BTreeMap::new(),
            next_port: 40_000,
            queue: BinaryHeap::new(),
            scheduled: 0,
            counts: Counts::default(),
            calls_max,
            calls_at_last_poll: 0,
            failure: None,
            trace: 0xcbf2_9ce4_8422_2325,
            verbose,
        }
    }

    // Time and trace.

    /// A system call begins, and takes its time.
    pub(crate) fn begin_call(&mut self, _name: &'static str) -> Result<(), Errno> {
        self.counts.calls += 1;
        self.now_ns += 200 + self.random.below(800);
        Ok(())
    }

    /// The same for one that a signal may interrupt.
    pub(crate) fn begin_slow_call(&mut self, name: &'static str) -> Result<(), Errno> {
        self.begin_call(name)?;
        if self.random.happens(self.faults.interrupted) {
            self.counts.interrupted += 1;
            self.note("interrupted", &[]);
            return Err(libc::EINTR);
        }
        Ok(())
    }

    /// Reads the clock, which takes a little of what it shows.
    pub(crate) fn read_clock(&mut self) -> u64 {
        self.now_ns += 20 + self.random.below(40);
        self.now_ns
    }

    /// Adds to the trace: one seed has one trace.
    pub(crate) fn note(&mut self, what: &'static str, values: &[u64]) {
        let now = [self.now_ns];
        let bytes = what.bytes().map(u64::from);
        for value in bytes.chain(values.iter().copied()).chain(now) {
            self.trace = (self.trace ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
        if self.verbose {
            let mut line = format!("{:>15} ns {what}", self.now_ns);
            values.iter().for_each(|value| {
                let _ = write!(line, " {value}");
            });
            eprintln!("{line}");
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    // What happens by itself.

    pub(crate) fn schedule(&mut self, at_ns: u64, what: Happening) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at_ns, number: self.scheduled, what }));
    }

    pub(crate) fn latency_ns(&mut self) -> u64 {
        let latency = self.faults.latency.clone();
        self.random.time_ns(&latency)
    }

    /// When the next thing happens; never, if nothing is under way.
    pub(crate) fn next_ns(&self) -> u64 {
        self.queue.peek().map_or(u64::MAX, |Reverse(next)| next.at_ns)
    }

    /// Lets everything happen that is due.
    pub(crate) fn catch_up(&mut self) {
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at_ns > self.now_ns {
                return;
            }
            let Some(Reverse(Scheduled { what, .. })) = self.queue.pop() else { return };
            self.happen(what);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Alarm { file, due_ns } => {
                let Some(File { kind: Kind::Timer { due_ns: due, expired }, .. }) = self.try_file(file)
                else {
                    return;
                };
                if *due == Some(due_ns) {
                    (*due, *expired) = (None, true);
                    self.note("alarm", &[due_ns]);
                    self.edge(file);
                }
            }
            Happening::Release { file, bits } => {
                if let Some(open) = self.try_file(file) {
                    open.held &= !bits;
                    self.note("released", &[bits.into()]);
                    self.edge(file);
                }
            }
            Happening::Datagram { from, to, bytes, sender } => self.arrive(from, to, bytes, sender),
            Happening::Unreachable { file } => self.unreachable(file),
            of_tcp => self.happen_in_tcp(of_tcp),
        }
    }

    // Descriptors.

    pub(crate) fn open(&mut self, kind: Kind) -> i32 {
        let id = FileId(self.files.len());
        let file = File { id, kind, descriptors: 0, watched_by: Vec::new(), held: 0, refused: false };
        self.files.push(Some(file));
        self.describe(id)
    }

    /// The lowest number that is free, as of a real kernel: numbers are used again at once.
    fn describe(&mut self, id: FileId) -> i32 {
        self.file(id).descriptors += 1;
        let free = self.descriptors.iter().position(Option::is_none);
        let at = free.unwrap_or(self.descriptors.len());
        if at == self.descriptors.len() {
            self.descriptors.push(None);
        }
        self.descriptors[at] = Some(id);
        FIRST + at as i32
    }

    pub(crate) fn file_of(&self, fd: i32) -> Result<FileId, Errno> {
        let at = fd.checked_sub(FIRST).ok_or(libc::EBADF)?;
        self.descriptors.get(at as usize).copied().flatten().ok_or(libc::EBADF)
    }

    /// The open file with this name; it must be open.
    pub(crate) fn file(&mut self, id: FileId) -> &mut File {
        self.files[id.0].as_mut().expect("the file is open")
    }

    pub(crate) fn try_file(&mut self, id: FileId) -> Option<&mut File> {
        self.files[id.0].as_mut()
    }

    pub(crate) fn duplicate(&mut self, fd: i32) -> Result<i32, Errno> {
        self.begin_call("dup")?;
        let id = self.file_of(fd)?;
        Ok(self.describe(id))
    }

    pub(crate) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        self.begin_call("close")?;
        let id = self.file_of(fd)?;
        self.note("close", &[fd as u64]);
        self.descriptors[(fd - FIRST) as usize] = None;
        let file = self.file(id);
        file.descriptors -= 1;
        if file.descriptors > 0 {
            return Ok(());
        }
        let watched_by = std::mem::take(&mut file.watched_by);
        self.unwatch(id, &watched_by);
        if let Some(File { kind: Kind::Socket(socket), .. }) = self.files[id.0].take() {
            self.close_socket(socket);
        }
        Ok(())
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors_open(&self) -> usize {
        self.descriptors.iter().flatten().count()
    }

    /// Whether a call that needs a descriptor is refused one.
    pub(crate) fn lacks_descriptors(&mut self) -> Result<(), Errno> {
        if self.random.happens(self.faults.descriptors) {
            self.counts.descriptors += 1;
            let errno = [libc::EMFILE, libc::ENFILE][(self.counts.descriptors % 2) as usize];
            self.note("no descriptors", &[]);
            return Err(errno);
        }
        Ok(())
    }

    /// What may be done with a file now, in the bits of epoll.
    pub(crate) fn state_of(&mut self, id: FileId) -> u32 {
        let File { kind, held, .. } = self.files[id.0].as_ref().expect("the file is open");
        let state = match kind {
            Kind::Epoll(_) => 0,
            Kind::Event(0) => OUT,
            Kind::Event(_) => IN | OUT,
            Kind::Timer { expired, .. } => IN * u32::from(*expired),
            Kind::Socket(socket) => self.state_of_socket(socket),
        };
        state & !held
    }

    /// Keeps readiness back for a while.
    pub(crate) fn hold(&mut self, file: FileId, bits: u32) {
        self.file(file).held |= bits;
        let at_ns = self.now_ns + 1_000 + self.latency_ns();
        self.schedule(at_ns, Happening::Release { file, bits });
    }

    /// Whether a call that could proceed is told to wait.
    pub(crate) fn blocks_for_no_reason(&mut self, file: FileId, bits: u32) -> Result<(), Errno> {
        if self.file(file).held & bits != 0 {
            return Err(libc::EAGAIN);
        }
        if self.random.happens(self.faults.would_block) {
            self.counts.would_block += 1;
            self.hold(file, bits);
            self.note("would block", &[bits.into()]);
            return Err(libc::EAGAIN);
        }
        Ok(())
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> std::cmp::Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}
