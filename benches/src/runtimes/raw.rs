//! The ceiling: epoll and a timerfd, level-triggered, by hand. It has no deadlines on reads.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::{NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::drift::{Sleeps, timespec};

pub(crate) const PEER: Peer = Peer { name: "raw", bounds: &[NONE], sleeps: &["timerfd"], echo, sleep };

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

fn sleep(_: &str, number: u64) {
    let run = || -> std::io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&poll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let mut events = Vec::with_capacity(4);
        let mut sleeps = Sleeps::new(number);
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
