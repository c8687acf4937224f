//! calloop: callbacks, and no tasks. Each connection has a timer of its own, a source beside that of its stream.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Dispatcher, EventLoop, Interest, LoopHandle, Mode, PostAction, RegistrationToken};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::connect::{AT_ONCE, Dials, TIMEOUT};
use crate::workloads::drift::{Crowd, Sleeps};
use crate::workloads::idle::{BUFFER, DEADLINE};

pub(crate) const PEER: Peer = Peer {
    name: "calloop",
    bounds: &[NONE, "timer"],
    sleeps: &["timer"],
    echo,
    sleep,
    crowds: &["timer"],
    crowd,
    hold,
    dials: &["timer"],
    dial,
    ..Peer::IDLER
};

/// The number is of those that still do something.
type Handle = LoopHandle<'static, usize>;
type Anything = Result<(), Box<dyn Error>>;

/// Ends the stream's source when its time is up, unless it was moved.
#[derive(Clone)]
struct Idle {
    timer: Dispatcher<'static, Timer, usize>,
    token: RegistrationToken,
    limit: Duration,
}

impl Idle {
    fn new(
        handle: &Handle,
        limit: Duration,
        stream: Rc<RefCell<Option<RegistrationToken>>>,
    ) -> calloop::Result<Idle> {
        let at_end = handle.clone();
        let timer = Dispatcher::new(Timer::from_duration(limit), move |_, (), _: &mut usize| {
            if let Some(stream) = stream.take() {
                at_end.remove(stream);
            }
            TimeoutAction::Drop
        });
        let token = handle.register_dispatcher(timer.clone())?;
        Ok(Idle { timer, token, limit })
    }

    fn renew(&self, handle: &Handle) -> calloop::Result<()> {
        self.timer.as_source_mut().set_duration(self.limit);
        handle.update(&self.token)
    }
}

/// Runs a listener whose connections each have a function of their own, called when there is something to read until it says no.
fn listen<S>(
    backlog: i32,
    limit: Option<Duration>,
    ends: Option<Ends>,
    serving: impl Fn() -> S + 'static,
) -> Anything
where
    S: FnMut(&TcpStream) -> io::Result<bool> + 'static,
{
    let mut events = EventLoop::<usize>::try_new()?;
    let handle = events.handle();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&listener, backlog)?;
    listening(listener.local_addr()?);
    let accepts = handle.clone();
    let source = Generic::new(listener, Interest::READ, Mode::Level);
    handle.insert_source(source, move |_, listener, _| {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let stream_token = Rc::new(RefCell::new(None));
        let idle = limit.map(|limit| Idle::new(&accepts, limit, stream_token.clone())).transpose();
        let idle = idle.map_err(io::Error::other)?;
        let (handle, mut serve, ends) = (accepts.clone(), serving(), ends.clone());
        let source = Generic::new(stream, Interest::READ, Mode::Level);
        let inserted = accepts.insert_source(source, move |_, stream, _| {
            if serve(stream).unwrap_or(false) {
                if let Some(idle) = &idle {
                    idle.renew(&handle).map_err(io::Error::other)?;
                }
                return Ok(PostAction::Continue);
            }
            if let Some(idle) = &idle {
                handle.remove(idle.token);
            }
            if let Some(ends) = &ends {
                ends.one();
            }
            Ok(PostAction::Remove)
        });
        *stream_token.borrow_mut() = Some(inserted.map_err(|error| io::Error::other(error.error))?);
        Ok(PostAction::Continue)
    })?;
    events.run(None, &mut 0, |_| {})?;
    Ok(())
}

fn limit_of(variant: &str, limit: Duration) -> Option<Duration> {
    (variant != NONE).then_some(limit)
}

fn echo(variant: &str, ends: Ends) {
    let answering = || {
        let mut buffer = [0; 4096];
        move |mut stream: &TcpStream| match stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(read) => stream.write_all(&buffer[..read]).map(|()| true),
            Err(error) => Ok(error.kind() == ErrorKind::WouldBlock),
        }
    };
    listen(128, limit_of(variant, IDLE), Some(ends), answering).expect("an echo");
}

fn hold(variant: &str) {
    let waiting = || {
        let mut buffer = Box::new([0; BUFFER]);
        move |mut stream: &TcpStream| Ok(stream.read(&mut *buffer)? > 0)
    };
    listen(4096, limit_of(variant, DEADLINE), None, waiting).expect("a listener");
}

fn sleep(_: &str, mut sleeps: Sleeps) {
    let run = || -> Anything {
        let mut events = EventLoop::<Sleeps>::try_new()?;
        let first = sleeps.begin().ok_or("no sleeps")?;
        let signal = events.get_signal();
        let woke = move |_, (): &mut (), sleeps: &mut Sleeps| {
            sleeps.woke();
            sleeps.begin().map_or_else(
                || {
                    signal.stop();
                    TimeoutAction::Drop
                },
                TimeoutAction::ToDuration,
            )
        };
        events.handle().insert_source(Timer::from_duration(first), woke)?;
        events.run(None, &mut sleeps, |_| {})?;
        sleeps.tell();
        Ok(())
    };
    run().expect("sleeps");
}

fn crowd(_: &str, crowd: Crowd) {
    let run = || -> Anything {
        let mut events = EventLoop::<usize>::try_new()?;
        let mut sleeping = 0;
        for mut sleeper in crowd.sleepers() {
            let Some(first) = sleeper.begin() else { continue };
            let signal = events.get_signal();
            sleeping += 1;
            events.handle().insert_source(Timer::from_duration(first), move |_, (), sleeping| {
                sleeper.woke();
                sleeper.begin().map_or_else(
                    || {
                        *sleeping -= 1;
                        if *sleeping == 0 {
                            signal.stop();
                        }
                        TimeoutAction::Drop
                    },
                    TimeoutAction::ToDuration,
                )
            })?;
        }
        events.run(None, &mut sleeping, |_| {})?;
        crowd.tell();
        Ok(())
    };
    run().expect("sleepers");
}

fn dial(_: &str, dials: Dials) {
    let run = || -> Anything {
        let mut events = EventLoop::<usize>::try_new()?;
        for _ in dials.rounds() {
            let mut pending = AT_ONCE;
            for _ in 0..AT_ONCE {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
                let dial = dials.begin();
                // In progress, and for ever.
                let _ = connect(&socket, &dials.to);
                let handle = events.handle();
                let source = Generic::new(socket, Interest::WRITE, Mode::Level);
                let connecting = handle.insert_source(source, |_, _, _| Ok(PostAction::Disable))?;
                let (at_end, mut dial) = (handle.clone(), Some(dial));
                handle.insert_source(Timer::from_duration(TIMEOUT), move |_, (), pending| {
                    if let Some(dial) = dial.take() {
                        dial.timed_out();
                    }
                    at_end.remove(connecting);
                    *pending -= 1;
                    TimeoutAction::Drop
                })?;
            }
            while pending > 0 {
                events.dispatch(None, &mut pending)?;
            }
        }
        dials.tell();
        Ok(())
    };
    run().expect("dials");
}
