//! The reactor inside somebody else's loop: an outer `poll(2)` waits for a pipe of its own and for the reactor.
//!
//! ```text
//! cargo run --example embed
//! ```
//!
//! A thread plays the user who types into the pipe, another sends a message through the handle; the reactor has a
//! timer and a socket whose peer falls silent under an idle deadline. Nothing else waits, and nothing spins:
//!
//! ```text
//!      0.2 ms  pipe      hello
//!      2.0 ms  timer     set for 2 ms, fired 39.532µs late
//!      5.3 ms  socket    4 bytes
//!      6.4 ms  pipe      world
//!     10.5 ms  message   done with the work
//!     25.4 ms  deadline  the socket was silent for 20ms, noticed 29.972µs late
//!     30.7 ms  pipe      closed
//! 7 events, 8 waits of the outer loop, 0 early
//! ```

use std::error::Error;
use std::io::{Read, Write, pipe};
use std::thread;
use std::time::Duration;

use mio::net::UnixStream;
use punctual::Leeway;
use punctual::reactor::{Direction, Event, Interest, Reactor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const IDLE: Duration = Duration::from_millis(20);
const MS: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut reactor = Reactor::new()?;
    let began = reactor.now();
    let say = |at: punctual::Instant, who: &str, what: &str| {
        println!("{:8.1} ms  {who:<9} {what}", (at - began).as_secs_f64() * 1e3);
    };

    // What the outer loop is about: a pipe that it reads itself.
    let (mut typed, mut keyboard) = pipe()?;
    // What the reactor is about: a timer, a socket under a deadline, and messages from other threads.
    reactor.insert_timer(began + 2 * MS, Leeway::NONE);
    let (mut socket, mut peer) = UnixStream::pair()?;
    let token = reactor.register(&mut socket, Interest::READABLE)?;
    reactor.set_deadline(token, Direction::Read, Some(began + IDLE))?;
    let handle = reactor.handle();
    let others = thread::spawn(move || -> Result<_, Box<dyn Error + Send + Sync>> {
        keyboard.write_all(b"hello")?;
        thread::sleep(5 * MS);
        peer.write_all(b"ping")?;
        thread::sleep(MS);
        keyboard.write_all(b"world")?;
        thread::sleep(4 * MS);
        handle.send("done with the work")?;
        // The peer is silent from here on, but does not hang up; the keyboard closes once it is dropped.
        thread::sleep(IDLE);
        Ok(peer)
    });

    let (mut events, mut waits, mut early) = (0, 0, 0);
    let (mut pipe_open, mut guarded) = (true, true);
    let mut buffer = [0; 256];
    while pipe_open || guarded {
        // Arms the alarm and says how long the outer loop may wait: for ever, where the kernel's alarm makes the
        // reactor's descriptor readable.
        let wait = reactor.prepare()?.map(Timespec::try_from).transpose()?;
        // A pipe that has been closed is always readable.
        let watched = if pipe_open { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [PollFd::new(&reactor, PollFlags::IN), PollFd::new(&typed, watched)];
        let fds = if pipe_open { &mut fds[..] } else { &mut fds[..1] };
        poll(fds, wait.as_ref())?;
        waits += 1;
        if pipe_open && !fds[1].revents().is_empty() {
            let read = typed.read(&mut buffer)?;
            pipe_open = read > 0;
            let text = String::from_utf8_lossy(&buffer[..read]);
            say(reactor.now(), "pipe", if pipe_open { &text } else { "closed" });
            events += 1;
        }
        // However the outer wait ended: one turn that does not wait, and all that it has found.
        reactor.turn(Some(Duration::ZERO))?;
        while let Some(event) = reactor.next_event() {
            let now = reactor.now();
            events += 1;
            match event {
                Event::Timer { firing, .. } => {
                    early += u32::from(now < firing.deadline);
                    say(now, "timer", &format!("set for 2 ms, fired {:?} late", firing.lateness()));
                }
                Event::Ready { .. } => {
                    let read = socket.read(&mut buffer)?;
                    say(now, "socket", &format!("{read} bytes"));
                    // To extend a deadline is a store.
                    reactor.set_deadline(token, Direction::Read, Some(now + IDLE))?;
                }
                Event::Deadline { firing, .. } => {
                    early += u32::from(now < firing.deadline);
                    let late = firing.lateness();
                    say(
                        now,
                        "deadline",
                        &format!("the socket was silent for {IDLE:?}, noticed {late:?} late"),
                    );
                    guarded = false;
                }
                Event::Message(message) => {
                    say(now, "message", message.downcast_ref::<&str>().unwrap_or(&"of another kind"));
                }
                other => say(now, "else", &format!("{other:?}")),
            }
        }
    }
    let peer = others.join().map_err(|_| "the other thread panicked")?;
    drop(peer.map_err(|error| error.to_string())?);
    println!("{events} events, {waits} waits of the outer loop, {early} early");
    if early > 0 { Err("something fired early".into()) } else { Ok(()) }
}
