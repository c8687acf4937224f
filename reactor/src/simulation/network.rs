//! The hosts of a simulated network: scripted peers, name servers, and places where nobody answers.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::kernel::{Happening, Kernel};
use super::tcp::{EndId, Owner, Stage};

/// What is at an address.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Peer(Script),
    Names(Names),
    BlackHole,
    Unreachable,
}

/// What a name server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) addresses: Vec<(String, IpAddr)>,
    pub(crate) delay: Duration,
}

/// What a peer does with a connection, step by step. After the last step it stays as it is: connected and silent, and it
/// reads nothing more.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::simulation::Script;
///
/// let slow = Script::new().expect(b"\r\n\r\n").wait(Duration::from_secs(1)).send(b"HTTP/1.1 200 OK\r\n").stall();
/// # let _ = slow;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Script {
    steps: VecDeque<Step>,
    /// What has come and was not consumed by a step.
    read: Vec<u8>,
    /// Until when it waits.
    waits_until_ns: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Expect(Vec<u8>),
    Read(usize),
    Send(Vec<u8>),
    Wait(Duration),
    Echo,
    Discard,
    Stall,
    CloseWrite,
    Close,
    Reset,
}

impl Script {
    /// A peer that accepts, and says nothing.
    pub fn new() -> Script {
        Script::default()
    }

    /// Reads until `pattern` has come. What comes along behind it is read too, and is there for the next step.
    pub fn expect(self, pattern: impl Into<Vec<u8>>) -> Script {
        self.then(Step::Expect(pattern.into()))
    }

    /// Reads so many bytes, and no more.
    pub fn read(self, bytes: usize) -> Script {
        self.then(Step::Read(bytes))
    }

    /// Sends `bytes`, as far as there is room for them, and the rest when there is.
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Script {
        self.then(Step::Send(bytes.into()))
    }

    /// Does nothing for so long, not even read.
    pub fn wait(self, time: Duration) -> Script {
        self.then(Step::Wait(time))
    }

    /// Sends `bytes` in pieces of `piece` bytes, `pause` apart.
    pub fn trickle(self, bytes: &[u8], piece: usize, pause: Duration) -> Script {
        bytes.chunks(piece.max(1)).fold(self, |script, piece| script.send(piece).wait(pause))
    }

    /// Sends back whatever comes, and ends its side when the other has ended.
    pub fn echo(self) -> Script {
        self.then(Step::Echo)
    }

    /// Reads whatever comes and throws it away, until the other side ends.
    pub fn discard(self) -> Script {
        self.then(Step::Discard)
    }

    /// Does nothing any more, without closing: what it is sent fills the window.
    pub fn stall(self) -> Script {
        self.then(Step::Stall)
    }

    /// Ends its side of the connection.
    pub fn close_write(self) -> Script {
        self.then(Step::CloseWrite)
    }

    /// Closes the connection: with a reset, if something has come that was not read.
    pub fn close(self) -> Script {
        self.then(Step::Close)
    }

    /// Resets the connection.
    pub fn reset(self) -> Script {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Script {
        self.steps.push_back(step);
        self
    }
}

/// So many bytes an echo reads ahead of what it can send.
const ECHO_KEEPS_MAX: usize = 4_096;

/// What a step has come to.
enum Outcome {
    Done,
    /// It goes on when something happens to the connection, or when it is resumed.
    Waits,
}

impl Kernel {
    /// Opens a connection from a scripted client.
    pub(crate) fn connect_script(&mut self, to: SocketAddr, script: Script) {
        let local = self.source_for(None, to);
        let end = self.new_end(Owner::Script(Box::new(script)), local, to);
        self.send_syn(end, 0);
    }

    /// Takes the script of an end as far as it goes.
    pub(crate) fn run_script(&mut self, id: EndId) {
        if self.end(id).stage == Stage::Connecting {
            return;
        }
        loop {
            let now_ns = self.now_ns;
            let Owner::Script(script) = &mut self.end(id).owner else { return };
            if script.waits_until_ns > now_ns {
                return;
            }
            let Some(step) = script.steps.pop_front() else { return };
            let before = step.clone();
            if let Outcome::Waits = self.take_step(id, step) {
                // `Send` and `Wait` have put back what is left of them.
                if let (Owner::Script(script), true) = (&mut self.end(id).owner, before.repeats()) {
                    script.steps.push_front(before);
                }
                return;
            }
        }
    }

    fn take_step(&mut self, id: EndId, step: Step) -> Outcome {
        match step {
            Step::Stall => Outcome::Waits,
            Step::Wait(time) => {
                let at_ns = self.now_ns + time.as_nanos() as u64;
                if let Owner::Script(script) = &mut self.end(id).owner {
                    script.waits_until_ns = at_ns;
                }
                self.schedule(at_ns, Happening::Resume { end: id });
                Outcome::Waits
            }
            Step::Send(bytes) => {
                let sent = self.end_send(id, &bytes, usize::MAX).unwrap_or(0);
                let rest = &bytes[sent..];
                if rest.is_empty() || self.end(id).stage == Stage::Dead {
                    return Outcome::Done;
                }
                if let Owner::Script(script) = &mut self.end(id).owner {
                    script.steps.push_front(Step::Send(rest.to_vec()));
                }
                Outcome::Waits
            }
            Step::CloseWrite => {
                self.send_fin(id);
                Outcome::Done
            }
            Step::Close => {
                self.close_end(id);
                Outcome::Waits
            }
            Step::Reset => {
                self.end(id).owner = Owner::Nobody;
                self.send_reset(id);
                Outcome::Waits
            }
            Step::Read(_) | Step::Expect(_) | Step::Echo | Step::Discard => {
                self.take_reading_step(id, &step)
            }
        }
    }

    fn take_reading_step(&mut self, id: EndId, step: &Step) -> Outcome {
        let Owner::Script(script) = &self.end(id).owner else { return Outcome::Waits };
        let most = match step {
            Step::Read(bytes) => bytes.saturating_sub(script.read.len()),
            // What cannot be sent back fills the window.
            Step::Echo => ECHO_KEEPS_MAX.saturating_sub(script.read.len()),
            _ => usize::MAX,
        };
        let mut came = vec![0; most.min(self.end(id).received.len())];
        let came_bytes = self.end_receive(id, &mut came, false).unwrap_or(0);
        came.truncate(came_bytes);
        let ended = self.end(id).ended;
        let Owner::Script(script) = &mut self.end(id).owner else { return Outcome::Waits };
        script.read.append(&mut came);
        match step {
            Step::Read(bytes) if script.read.len() >= *bytes => {
                script.read.drain(..*bytes);
                Outcome::Done
            }
            Step::Expect(pattern) => {
                let found = script.read.windows(pattern.len().max(1)).position(|seen| seen == pattern);
                found.map_or(Outcome::Waits, |at| {
                    script.read.drain(..at + pattern.len());
                    Outcome::Done
                })
            }
            Step::Discard => {
                script.read.clear();
                if ended { Outcome::Done } else { Outcome::Waits }
            }
            Step::Echo => {
                let mut bytes = std::mem::take(&mut script.read);
                let sent = self.end_send(id, &bytes, usize::MAX).unwrap_or(0);
                bytes.drain(..sent);
                let all = bytes.is_empty();
                if let Owner::Script(script) = &mut self.end(id).owner {
                    script.read = bytes;
                }
                if !(ended && all) {
                    return Outcome::Waits;
                }
                self.send_fin(id);
                Outcome::Done
            }
            _ => Outcome::Waits,
        }
    }
}

impl Step {
    /// Whether it is taken again when it had to wait.
    fn repeats(&self) -> bool {
        matches!(self, Step::Expect(_) | Step::Read(_) | Step::Echo | Step::Discard | Step::Stall)
    }
}
