//! Descriptors of any kind under deadlines, pipes, and what cannot be watched.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use punctual::reactor::{
    AsyncFd, Direction, Done, Failure, Interest, PipeWriter, Readiness, RegisterErrorKind, Registration,
    pipe,
};
use punctual::{Instant, sleep, spawn, yield_now};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::support::net::{Class, on_alarms, times_out};
use crate::support::{self, MS, now_ns};

fn class<T>(result: Result<T, Failure>) -> Result<T, Class> {
    result.map_err(|failure| Class::from(&failure))
}

/// Reads the eight bytes of an eventfd or a timerfd.
fn read_count(fd: &OwnedFd) -> io::Result<Done<u64>> {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes)?;
    Ok(Done::new(u64::from_ne_bytes(bytes)))
}

#[test]
fn an_eventfd_and_a_timerfd_are_operated_under_deadlines() {
    on_alarms("eventfd and timerfd", async |_| {
        let event = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
        let event = AsyncFd::new(event).expect("registered, and made non-blocking");
        let armed_ns = now_ns();
        event.set_timeout(Direction::Read, Some(5 * MS)).expect("open");
        times_out(armed_ns, 5 * MS, async { class(event.operate(Direction::Read, read_count).await) })
            .await;
        event.set_timeout(Direction::Read, None).expect("open");
        rustix::io::write(&*event.get_ref().expect("open"), &7_u64.to_ne_bytes()).expect("written");
        assert_eq!(class(event.operate(Direction::Read, read_count).await), Ok(7));
        assert_eq!(class(event.writable().await), Ok(()));

        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).expect("a timerfd");
        let after = Timespec { tv_sec: 0, tv_nsec: 3_000_000 };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: after };
        let timer = AsyncFd::new(timer).expect("registered");
        let armed_ns = now_ns();
        timerfd_settime(&*timer.get_ref().expect("open"), TimerfdTimerFlags::empty(), &spec)
            .expect("set");
        assert_eq!(class(timer.operate(Direction::Read, read_count).await), Ok(1));
        assert!(now_ns() - armed_ns >= 3_000_000);
    });
}

#[test]
fn readiness_is_what_poll_says_and_not_what_was_once_said() {
    on_alarms("readiness", async |_| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let reader = AsyncFd::new(reader).expect("registered");
        writer.write_all(b"x").expect("room");
        assert_eq!(class(reader.readable().await), Ok(()));
        assert_eq!(class(reader.readable().await), Ok(()), "nobody has read it");
        // Read past the registration: it must not be told that there still is something.
        (&*reader.get_ref().expect("open")).read_exact(&mut [0]).expect("there");
        let armed_ns = now_ns();
        reader.set_deadline(Direction::Read, Some(Instant::now() + 4 * MS)).expect("open");
        times_out(armed_ns, 4 * MS, async { class(reader.readable().await) }).await;
        reader.set_deadline(Direction::Read, None).expect("open");
        let told = spawn(async move { (class(reader.readable().await), reader) });
        yield_now().await;
        writer.write_all(b"y").expect("room");
        assert_eq!(told.await.expect("no panic").0, Ok(()));
    });
}

#[test]
fn pipes_end_break_and_fill() {
    on_alarms("pipes", async |_| {
        let (reader, writer) = pipe().expect("a pipe");
        // Full: a write times out and has written nothing more.
        writer.set_timeout(Some(3 * MS)).expect("open");
        let mut filled = 0;
        let armed_ns = loop {
            let armed_ns = now_ns();
            match writer.write(&[7; 4096]).await {
                Ok(written) => filled += written,
                Err(failure) => {
                    assert_eq!(Class::from(&failure), Class::Timeout);
                    break armed_ns;
                }
            }
        };
        assert!(now_ns() - armed_ns >= 3_000_000, "never early");
        let mut all = Vec::new();
        assert_eq!(class(reader.read_to_end(&mut all, filled).await), Ok(filled), "and not a byte more");
        // The end comes after all that was written.
        writer.set_timeout(None).expect("open");
        writer.write_all(b"last words").await.expect("room");
        drop(writer);
        let mut rest = Vec::new();
        assert_eq!(class(reader.read_to_end(&mut rest, 5).await), Ok(5), "the limit");
        assert_eq!(class(reader.read_to_end(&mut rest, 100).await), Ok(5));
        assert_eq!(rest, b"last words");
        assert_eq!(class(reader.read(&mut [0; 8]).await), Ok(0), "the end stays the end");
        // Nobody reads: EPIPE, also for a write that waits.
        let (reader, writer) = pipe().expect("a pipe");
        let blocked = spawn(async move {
            loop {
                if let Err(failure) = writer.write(&[0; 64 * 1024]).await {
                    return Class::from(&failure);
                }
            }
        });
        sleep(MS).await;
        drop(reader);
        assert_eq!(blocked.await.expect("no panic"), Class::Errno(libc::EPIPE));
    });
}

#[test]
fn a_large_transfer_through_a_pipe_arrives_whole_and_in_order() {
    on_alarms("a large transfer", async |_| {
        const TOTAL: usize = 3 << 20;
        let byte_at = |at: usize| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8;
        let (reader, writer) = pipe().expect("a pipe");
        let writing = spawn(async move {
            let bytes: Vec<u8> = (0..TOTAL).map(byte_at).collect();
            writer.write_all(&bytes).await
        });
        let mut all = Vec::new();
        assert_eq!(class(reader.read_to_end(&mut all, usize::MAX).await), Ok(TOTAL));
        assert!(all.iter().enumerate().all(|(at, byte)| *byte == byte_at(at)));
        writing.await.expect("no panic").expect("written");
    });
}

#[test]
fn f09_what_cannot_be_watched_is_given_back_with_a_reason() {
    on_alarms("f09", async |runtime| {
        let live = runtime.metrics().live_sources;
        for path in ["Cargo.toml", "tests"] {
            let file = std::fs::File::open(path).expect("a file");
            let refused = AsyncFd::new(file).expect_err("always ready");
            assert_eq!(refused.kind(), RegisterErrorKind::AlwaysReady, "{path}");
            assert_eq!(refused.error().raw_os_error(), Some(libc::EPERM));
            let words = refused.to_string();
            assert!(words.contains("regular files are always ready"), "{words}");
            assert!(words.contains("fs::File"), "it says what to do: {words}");
            assert!(refused.into_inner().metadata().is_ok(), "it is still open");
        }
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let first = AsyncFd::new(reader.as_fd()).expect("registered");
        let twice = AsyncFd::new(reader.as_fd()).expect_err("it is registered");
        assert_eq!(twice.kind(), RegisterErrorKind::AlreadyRegistered);
        assert_eq!(io::Error::from(twice).kind(), ErrorKind::AlreadyExists);
        assert_eq!(runtime.metrics().live_sources, live + 1, "what was refused is not kept");
        // And the first goes on: the refused one has not taken its registration along.
        let told = async { class(first.readable().await) };
        let write = async { writer.write_all(b"x").expect("room") };
        first.set_timeout(Direction::Read, Some(Duration::from_secs(5))).expect("open");
        assert!(support::poll_once(first.readable()).is_pending());
        write.await;
        assert_eq!(told.await, Ok(()));
        assert_eq!(runtime.metrics().fired, 0, "by an event, not by the last try of a deadline");
        drop(first);
        let again = AsyncFd::new(reader.as_fd()).expect("it was let go of");
        assert_eq!(class(again.readable().await), Ok(()));
    });
}

#[test]
fn f09_a_registration_refused_leaves_the_one_before_it_alone() {
    on_alarms("f09 registrations", async |runtime| {
        #[derive(Debug)]
        struct Twice(i32);
        impl mio::event::Source for Twice {
            fn register(
                &mut self,
                to: &mio::Registry,
                token: mio::Token,
                i: Interest,
            ) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).register(to, token, i)
            }
            fn reregister(
                &mut self,
                to: &mio::Registry,
                token: mio::Token,
                i: Interest,
            ) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).reregister(to, token, i)
            }
            fn deregister(&mut self, from: &mio::Registry) -> io::Result<()> {
                mio::unix::SourceFd(&self.0).deregister(from)
            }
        }
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let number = reader.as_raw_fd();
        let first = Registration::new(Twice(number), Interest::READABLE, Readiness::NONE);
        let first = first.expect("registered");
        let second = Registration::new(Twice(number), Interest::READABLE, Readiness::NONE);
        assert_eq!(second.expect_err("registered already").kind(), ErrorKind::AlreadyExists);
        writer.write_all(b"x").expect("room");
        first.set_timeout(Direction::Read, Some(Duration::from_secs(5))).expect("open");
        let read = |_: &Twice| (&reader).read(&mut [0]).map(Done::new);
        assert_eq!(class(first.operate(Direction::Read, read).await), Ok(1));
        assert_eq!(runtime.metrics().fired, 0, "by an event, not by the last try of a deadline");
    });
}

#[test]
fn what_is_taken_back_is_deregistered_first() {
    on_alarms("into_inner", async |runtime| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let watched = AsyncFd::new(reader).expect("registered");
        let back = watched.into_inner().expect("open");
        assert_eq!(runtime.metrics().live_sources, 0);
        let events = runtime.metrics().events + runtime.metrics().stale_events;
        writer.write_all(b"x").expect("room");
        sleep(2 * MS).await;
        assert_eq!(runtime.metrics().events + runtime.metrics().stale_events, events, "no event comes");
        let again = AsyncFd::new(back).expect("free to be registered");
        assert_eq!(class(again.readable().await), Ok(()));
        // A writer whose descriptor is taken back is as it was, and non-blocking.
        let writer = PipeWriter::new(writer).expect("registered");
        let back = writer.into_inner().expect("open");
        let flags = rustix::fs::fcntl_getfl(&back).expect("flags");
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
}

#[test]
fn inotify_tells_of_a_file() {
    on_alarms("inotify", async |_| {
        use rustix::fs::inotify;
        let directory = support::temporary("inotify");
        std::fs::create_dir(&directory).expect("a directory");
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("an inotify");
        inotify::add_watch(&watch, &directory, inotify::WatchFlags::CREATE).expect("watched");
        let watch = AsyncFd::new(watch).expect("registered");
        let mut buffer = [0; 4096];
        let read = |fd: &OwnedFd| Ok(Done::new(rustix::io::read(fd, &mut buffer)?));
        let told = watch.operate(Direction::Read, read);
        std::fs::write(directory.join("news"), b"x").expect("written");
        assert!(told.await.expect("told") > 0);
        std::fs::remove_dir_all(&directory).expect("removed");
    });
}
