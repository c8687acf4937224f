//! A proxy on loopback that does to connections what networks do: it delays, trickles, stalls, resets, half-closes and corrupts.
//!
//! It runs on a thread of its own, over the standard library and poll(2), so that nothing under test is part of it. What it
//! does to a connection is drawn from a seed and the number of the connection. [`FaultProxy::heal`] ends all
//! that can be ended: what was held back is sent on, and new connections are left alone.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

/// What is done to one direction of a connection; offsets count the bytes of that direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Everything comes this much later.
    Delay(Duration),
    /// A few bytes at a time, this long apart.
    Trickle(Duration),
    /// Nothing comes from this offset on.
    Stall(usize),
    /// Both ends are reset at this offset.
    Reset(usize),
    /// The receiver is told at this offset that it was the end.
    HalfClose(usize),
    /// The byte at this offset is another.
    Corrupt(usize),
}

/// The most that is given on at a time by [`Fault::Trickle`].
const TRICKLE: usize = 16;
/// The most that is held of one direction.
const HELD_MAX: usize = 64 * 1024;
/// What the kernel is to buffer of what the proxy does not take, so that a sender is soon held up.
pub(crate) const NARROW: usize = 16 * 1024;
/// How long what is held back is kept after one end has ended: the other may still be waiting for it.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// How long the thread sleeps at most: so long a change from outside may go unseen.
const NAP: Duration = Duration::from_millis(2);

impl Fault {
    /// All kinds are equally likely; offsets lie within the first few messages.
    pub(crate) fn draw(rng: &mut Rng) -> Fault {
        let offset = rng.usize(..4_096);
        match rng.u8(..7) {
            0 => Fault::None,
            1 => Fault::Delay(Duration::from_micros(rng.u64(100..60_000))),
            2 => Fault::Trickle(Duration::from_micros(rng.u64(10..2_000))),
            3 => Fault::Stall(offset),
            4 => Fault::Reset(offset),
            5 => Fault::HalfClose(offset),
            _ => Fault::Corrupt(offset),
        }
    }

    fn can_heal(self) -> bool {
        matches!(self, Fault::Delay(_) | Fault::Trickle(_) | Fault::Stall(_))
    }
}

/// What is to be done to the connection of this number: to the requests and to the responses.
pub(crate) type Plan = Box<dyn Fn(u64) -> [Fault; 2] + Send>;

/// A fault in one of the two directions, by a seed.
pub(crate) fn seeded(seed: u64) -> Plan {
    Box::new(move |number| {
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let fault = Fault::draw(&mut rng);
        if rng.bool() { [fault, Fault::None] } else { [Fault::None, fault] }
    })
}

pub(crate) struct FaultProxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    healed: AtomicBool,
    silent: AtomicBool,
    over: AtomicBool,
    faults: Mutex<HashMap<SocketAddr, [Fault; 2]>>,
}

impl FaultProxy {
    /// In front of `upstream`.
    pub(crate) fn start(upstream: SocketAddr, plan: Plan) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        SockRef::from(&listener).set_recv_buffer_size(NARROW).expect("set");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let proxy =
            Proxy { listener, upstream, plan, shared: shared.clone(), begun: 0, pipes: Vec::new() };
        let thread = Some(std::thread::spawn(move || proxy.run()));
        FaultProxy { address, shared, thread }
    }

    /// Ends every fault that can be ended, for good: then whatever still stands must finish.
    pub(crate) fn heal(&self) {
        self.shared.healed.store(true, Ordering::Release);
    }

    /// Gives nothing on in either direction while it is `silent`.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Release);
    }

    /// What was done to the latest connection from this address, to its requests and to its responses. It is told once.
    pub(crate) fn faults_of(&self, client: SocketAddr) -> Option<[Fault; 2]> {
        self.shared.faults.lock().expect("no panic holds it").remove(&client)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the proxy panicked");
        }
    }
}

struct Proxy {
    listener: TcpListener,
    upstream: SocketAddr,
    plan: Plan,
    shared: Arc<Shared>,
    begun: u64,
    pipes: Vec<Pipe>,
}

impl Proxy {
    fn run(mut self) {
        while !self.shared.over.load(Ordering::Acquire) {
            self.accept();
            let healed = self.shared.healed.load(Ordering::Acquire);
            let silent = self.shared.silent.load(Ordering::Acquire);
            let now = Instant::now();
            if !silent {
                self.pipes.retain_mut(|pipe| pipe.pump(now, healed));
            }
            self.nap(now, silent);
        }
    }

    fn accept(&mut self) {
        while let Ok((client, address)) = self.listener.accept() {
            let number = self.begun;
            self.begun += 1;
            let healed = self.shared.healed.load(Ordering::Acquire);
            let faults = if healed { [Fault::None; 2] } else { (self.plan)(number) };
            self.shared.faults.lock().expect("no panic holds it").insert(address, faults);
            // A server that has gone refuses, and the client sees a reset.
            let Ok(server) = TcpStream::connect(self.upstream) else { continue };
            for end in [&client, &server] {
                end.set_nonblocking(true).expect("set");
                end.set_nodelay(true).expect("set");
            }
            let flows = faults.map(Flow::new);
            self.pipes.push(Pipe { ends: [client, server], flows, moved: (0, Instant::now()) });
        }
    }

    /// Until something can be done.
    fn nap(&self, now: Instant, silent: bool) {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let mut until = now + NAP;
        for pipe in self.pipes.iter().filter(|_| !silent) {
            for (side, flow) in pipe.flows.iter().enumerate() {
                if flow.has_room() {
                    fds.push(PollFd::new(&pipe.ends[side], PollFlags::IN));
                }
                match flow.held.front() {
                    Some((due, _)) if *due > now => until = until.min(*due),
                    Some(_) if !flow.stalls() => {
                        fds.push(PollFd::new(&pipe.ends[1 - side], PollFlags::OUT));
                    }
                    _ => {}
                }
            }
        }
        let wait = Timespec::try_from(until.saturating_duration_since(now)).expect("it is short");
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, Some(&wait));
    }
}

/// A connection: `flows[0]` goes from the client (`ends[0]`) to the server.
struct Pipe {
    ends: [TcpStream; 2],
    flows: [Flow; 2],
    /// How many bytes have moved, and when that was noticed.
    moved: (usize, Instant),
}

/// Why a connection is given up.
struct Broken;

impl Pipe {
    /// Does what can be done; whether there is more to come.
    fn pump(&mut self, now: Instant, healed: bool) -> bool {
        for side in [0, 1] {
            let (from, to) = (&self.ends[side], &self.ends[1 - side]);
            if self.flows[side].pump(from, to, now, healed).is_err() {
                for end in &self.ends {
                    // Dropped, it is reset.
                    let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
                }
                return false;
            }
        }
        let moved = self.flows.iter().map(|flow| flow.taken + flow.given).sum();
        if moved != self.moved.0 {
            self.moved = (moved, now);
        }
        let one_ended = self.flows.iter().any(|flow| flow.ended);
        let all_told = self.flows.iter().all(|flow| flow.ended && flow.told_end);
        let forgotten = one_ended && now - self.moved.1 >= FORGOTTEN;
        !all_told && !forgotten
    }
}

/// One direction.
struct Flow {
    fault: Fault,
    /// With when it may go on.
    held: VecDeque<(Instant, Vec<u8>)>,
    taken: usize,
    given: usize,
    /// The sender has ended.
    ended: bool,
    /// The receiver has been told so, rightly or not.
    told_end: bool,
}

impl Flow {
    fn new(fault: Fault) -> Flow {
        Flow { fault, held: VecDeque::new(), taken: 0, given: 0, ended: false, told_end: false }
    }

    fn has_room(&self) -> bool {
        !self.ended && self.taken - self.given < HELD_MAX
    }

    fn stalls(&self) -> bool {
        matches!(self.fault, Fault::Stall(at) if self.given >= at)
    }

    fn pump(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        now: Instant,
        healed: bool,
    ) -> Result<(), Broken> {
        if healed && self.fault.can_heal() {
            self.fault = Fault::None;
            self.held.iter_mut().for_each(|(due, _)| *due = now);
        }
        self.take(from, now)?;
        self.give(to, now)?;
        if self.ended && self.held.is_empty() && !self.told_end {
            self.told_end = true;
            // A receiver that has gone meanwhile needs not be told.
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn take(&mut self, mut from: &TcpStream, now: Instant) -> Result<(), Broken> {
        while self.has_room() {
            let mut bytes = vec![0; 16 * 1024];
            let Some(read) = unless_blocked(from.read(&mut bytes))? else { break };
            bytes.truncate(read);
            bytes.shrink_to_fit();
            if read == 0 {
                self.ended = true;
            } else if self.told_end {
                // The receiver believes that it was the end.
                continue;
            }
            let mut due = now;
            match self.fault {
                Fault::Corrupt(at) if (self.taken..self.taken + read).contains(&at) => {
                    bytes[at - self.taken] ^= 0x20;
                }
                Fault::Delay(delay) => due += delay,
                _ => {}
            }
            self.taken += read;
            if read > 0 {
                self.held.push_back((due, bytes));
            }
        }
        Ok(())
    }

    fn give(&mut self, mut to: &TcpStream, now: Instant) -> Result<(), Broken> {
        while let Some((due, bytes)) = self.held.front_mut() {
            let room = match self.fault {
                Fault::Stall(at) | Fault::Reset(at) | Fault::HalfClose(at) => {
                    at.saturating_sub(self.given)
                }
                Fault::Trickle(_) => TRICKLE,
                _ => usize::MAX,
            };
            match self.fault {
                Fault::Stall(_) if room == 0 => break,
                Fault::Reset(_) if room == 0 => return Err(Broken),
                Fault::HalfClose(_) if room == 0 => {
                    self.told_end = true;
                    self.held.clear();
                    self.given = self.taken;
                    // As above.
                    let _ = to.shutdown(Shutdown::Write);
                    break;
                }
                _ if *due > now => break,
                _ => {}
            }
            let length = bytes.len().min(room);
            let Some(written) = unless_blocked(to.write(&bytes[..length]))? else { break };
            bytes.drain(..written);
            self.given += written;
            if bytes.is_empty() {
                self.held.pop_front();
            }
            if let (Fault::Trickle(pause), Some((due, _))) = (self.fault, self.held.front_mut()) {
                *due = now + pause;
            }
        }
        Ok(())
    }
}

fn unless_blocked(result: io::Result<usize>) -> Result<Option<usize>, Broken> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(_) => Err(Broken),
    }
}
