//! The ceiling: epoll and a timerfd, level-triggered, by hand. It has no deadlines on reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
    timerfd_settime,
};

use super::{NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::connect::{AT_ONCE, Dials};
use crate::workloads::drift::{Crowd, Sleeper, Sleeps, now_ns, timespec};
use crate::workloads::idle::BUFFER;

pub(crate) const PEER: Peer = Peer {
    name: "raw",
    bounds: &[NONE],
    sleeps: &["timerfd"],
    echo,
    sleep,
    crowds: &["timerfd", "1 ms loop"],
    crowd,
    hold,
    dials: &["timerfd"],
    dial,
    ..Peer::IDLER
};

const LISTENER: u64 = u64::MAX;

fn echo(_: &str, ends: Ends) {
    serve(&ends).expect("an echo");
}

fn serve(ends: &Ends) -> std::io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let listens = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poll, listener.as_fd(), listens, epoll::EventFlags::IN)?;
    listening(listener.local_addr()?);
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = [0; 4096];
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let index = event.data.u64();
            if index == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let data = epoll::EventData::new_u64(streams.len() as u64);
                epoll::add(&poll, stream.as_fd(), data, epoll::EventFlags::IN)?;
                streams.push(Some(stream));
                continue;
            }
            let Some(Some(stream)) = streams.get_mut(index as usize) else { continue };
            let over = match stream.read(&mut buffer) {
                Ok(0) => true,
                Ok(read) => stream.write_all(&buffer[..read]).is_err(),
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            if over {
                streams[index as usize] = None;
                ends.one();
            }
        }
    }
}

fn sleep(_: &str, mut sleeps: Sleeps) {
    let run = || -> std::io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&poll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let mut events = Vec::with_capacity(4);
        while sleeps.begin().is_some() {
            let it_interval = timespec(0);
            let it_value = timespec(sleeps.deadline_ns());
            let spec = Itimerspec { it_interval, it_value };
            timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &spec)?;
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
            rustix::io::read(&timer, &mut [0; 8])?;
            sleeps.woke();
        }
        sleeps.tell();
        Ok(())
    };
    run().expect("sleeps");
}

/// A heap of deadlines. With a timerfd a wake-up for each, with a 1 ms loop one each millisecond for whatever is due.
fn crowd(variant: &str, crowd: Crowd) {
    let run = || -> std::io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&poll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let is_exact = variant == "timerfd";
        if !is_exact {
            let ms = timespec(1_000_000);
            let spec = Itimerspec { it_interval: ms, it_value: ms };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        }
        let mut sleepers: Vec<Sleeper> = crowd.sleepers().collect();
        let begin = |(at, sleeper): (usize, &mut Sleeper)| {
            sleeper.begin().map(|_| Reverse((sleeper.deadline_ns(), at)))
        };
        let mut sleeping: BinaryHeap<_> = sleepers.iter_mut().enumerate().filter_map(begin).collect();
        let mut events = Vec::with_capacity(4);
        while let Some(&Reverse((first, _))) = sleeping.peek() {
            if is_exact {
                let spec = Itimerspec { it_interval: timespec(0), it_value: timespec(first) };
                timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &spec)?;
            }
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
            rustix::io::read(&timer, &mut [0; 8])?;
            let now = now_ns(ClockId::Monotonic);
            while let Some(&Reverse((_, at))) = sleeping.peek().filter(|first| first.0.0 <= now) {
                sleeping.pop();
                sleepers[at].woke();
                sleeping.extend(begin((at, &mut sleepers[at])));
            }
        }
        crowd.tell();
        Ok(())
    };
    run().expect("sleepers");
}

fn hold(_: &str) {
    let run = || -> std::io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = listener()?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let mut streams = Vec::new();
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
            for _ in events.iter().filter(|event| event.data.u64() == LISTENER) {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let data = epoll::EventData::new_u64(streams.len() as u64);
                epoll::add(&poll, &stream, data, epoll::EventFlags::IN)?;
                streams.push((stream, Box::new([0_u8; BUFFER])));
            }
        }
    };
    run().expect("a listener");
}

/// With room for those that are not accepted yet; the standard library asks for 128.
fn listener() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&listener, 4096)?;
    listening(listener.local_addr()?);
    Ok(listener)
}

/// As many sockets, and one timerfd for them all, since they have the same time.
fn dial(_: &str, dials: Dials) {
    let run = || -> std::io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&poll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let mut events = Vec::with_capacity(4);
        for _ in dials.rounds() {
            let mut pending = VecDeque::new();
            for _ in 0..AT_ONCE {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
                let dial = dials.begin();
                // In progress, and for ever.
                let _ = connect(&socket, &dials.to);
                pending.push_back((socket, dial));
            }
            while let Some((socket, dial)) = pending.pop_front() {
                let (it_interval, it_value) = (timespec(0), timespec(dial.deadline_ns()));
                let spec = Itimerspec { it_interval, it_value };
                timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &spec)?;
                events.clear();
                epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
                rustix::io::read(&timer, &mut [0; 8])?;
                dial.timed_out();
                drop(socket);
            }
        }
        dials.tell();
        Ok(())
    };
    run().expect("dials");
}
