//! Files through the blocking pool: what is bounded, what is given up, and what that leaves behind.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use punctual::fs::{self, File};
use punctual::reactor::Failure;
use punctual::{Instant, sleep, spawn, timeout, yield_now};

use crate::support::net::{Class, on_alarms, runtime_handle, times_out};
use crate::support::{self, MS, now_ns, poll_once};

fn class<T>(result: Result<T, Failure>) -> Result<T, Class> {
    result.map_err(|failure| Class::from(&failure))
}

/// A directory of a test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let path = support::temporary("files");
        std::fs::create_dir(&path).expect("a directory");
        Directory(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn open_for_both(path: &PathBuf) -> File {
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    File::open_with(options, path).await.expect("opened")
}

#[test]
fn a_file_is_written_read_and_measured() {
    on_alarms("files", async |_| {
        let directory = Directory::new();
        let path = directory.file("whole");
        let bytes: Vec<u8> =
            (0..700_000_usize).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        let mut file = File::create(&path).await.expect("created");
        file.write_all(&bytes).await.expect("written, in several parts");
        assert_eq!(file.position(), bytes.len() as u64);
        file.sync_all().await.expect("on the disk");
        file.sync_data().await.expect("on the disk");
        assert_eq!(file.metadata().await.expect("known").len(), bytes.len() as u64);
        drop(file);
        let mut file = File::open(&path).await.expect("opened");
        let mut all = Vec::new();
        assert_eq!(class(file.read_to_end(&mut all, 500_000).await), Ok(500_000), "the limit");
        assert_eq!(class(file.read_to_end(&mut all, usize::MAX).await), Ok(200_000));
        assert!(all == bytes, "what was written is read");
        assert_eq!(class(file.read(&mut [0; 8]).await), Ok(0), "the end");
        assert_eq!(class(file.seek(SeekFrom::End(-3)).await), Ok(699_997));
        let mut three = [0; 8];
        assert_eq!(class(file.read(&mut three).await), Ok(3));
        assert_eq!(three[..3], bytes[699_997..]);
        assert_eq!(class(file.seek(SeekFrom::Current(-699_999)).await), Ok(1));
        assert_eq!(class(file.read_at(&mut three, 10).await), Ok(8));
        assert_eq!((three[..] == bytes[10..18], file.position()), (true, 1), "the position stays");
        for nowhere in [SeekFrom::Current(-2), SeekFrom::End(i64::MIN), SeekFrom::Start(u64::MAX)] {
            let failure = file.seek(nowhere).await.expect_err("before the start");
            assert!(matches!(&failure, Failure::Io(error) if error.kind() == ErrorKind::InvalidInput));
            assert_eq!(file.position(), 1);
        }
        assert_eq!(class(file.write(b"x").await), Err(Class::Errno(libc::EBADF)), "opened for reading");
    });
}

#[test]
fn names_are_given_and_taken() {
    on_alarms("names", async |_| {
        let directory = Directory::new();
        let (one, other) = (directory.file("one"), directory.file("other"));
        fs::write(&one, *b"words").await.expect("written");
        assert_eq!(fs::read(&one, 5).await.expect("read"), b"words");
        let failure = fs::read(&one, 4).await.expect_err("too long");
        assert!(matches!(&failure, Failure::Io(error) if error.kind() == ErrorKind::FileTooLarge));
        assert_eq!(fs::metadata(&one).await.expect("there").len(), 5);
        fs::rename(&one, &other).await.expect("renamed");
        assert_eq!(class(fs::metadata(&one).await.map(drop)), Err(Class::Errno(libc::ENOENT)));
        fs::create_dir(directory.file("in")).await.expect("made");
        fs::create_dir_all(directory.file("in/the/deep")).await.expect("made");
        fs::remove_dir(directory.file("in/the/deep")).await.expect("removed");
        fs::remove_file(&other).await.expect("removed");
        assert!(!other.exists());
    });
}

/// Work on a file that hangs until it is told to go on.
fn held() -> (std::sync::mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (go, held): (_, Receiver<()>) = channel();
    let held = Mutex::new(held);
    (go, move || {
        // Either word lets it go on.
        let _ = held.into_inner().expect("no panic").recv();
    })
}

#[test]
fn a_write_given_up_goes_on_and_later_operations_wait_for_it() {
    on_alarms("given up", async |_| {
        let directory = Directory::new();
        let mut file = open_for_both(&directory.file("slow")).await;
        file.write_all(b"old words").await.expect("written");
        file.seek(SeekFrom::Start(0)).await.expect("moved");
        let (go, hold) = held();
        let armed_ns = now_ns();
        file.set_timeout(Some(5 * MS));
        let slow = file.with(move |file| {
            hold();
            file.write_at(b"new", 0)
        });
        times_out(armed_ns, 5 * MS, async { class(slow.await) }).await;
        // The thread is still in it: what comes next waits for it, within its own bounds, and does nothing.
        let armed_ns = now_ns();
        times_out(armed_ns, 5 * MS, async { class(file.write_at(b"NEVER", 0).await) }).await;
        let armed_ns = now_ns();
        times_out(armed_ns, 5 * MS, async { class(file.read_at(&mut [0; 9], 0).await) }).await;
        assert_eq!(file.position(), 0);
        file.set_timeout(None);
        // Two wait, one of them gives up: the other is not forgotten.
        let file = std::rc::Rc::new(file);
        let (first, second) = (file.clone(), file.clone());
        let first = spawn(async move {
            let mut bytes = [0; 16];
            let read = first.read_at(&mut bytes, 0).await.expect("read");
            bytes[..read].to_vec()
        });
        yield_now().await;
        let given_up = spawn(async move { second.metadata().await.map(drop) });
        yield_now().await;
        given_up.abort();
        yield_now().await;
        go.send(()).expect("it still holds");
        assert_eq!(
            first.await.expect("no panic"),
            b"new words",
            "after the write, and not in its midst"
        );
    });
}

#[test]
fn what_no_thread_had_begun_with_does_not_happen() {
    let builder = |builder: punctual::Builder| builder.blocking_threads(1);
    support::for_each_alarm_with(builder, |runtime| {
        runtime.block_on(async {
            let directory = Directory::new();
            let mut file = open_for_both(&directory.file("queued")).await;
            file.write_all(b"untouched").await.expect("written");
            let (go, hold) = held();
            let busy = spawn(punctual::blocking(hold));
            yield_now().await;
            file.set_timeout(Some(4 * MS));
            assert_eq!(class(file.write_at(b"NEVER", 0).await), Err(Class::Timeout));
            file.set_timeout(None);
            go.send(()).expect("it holds");
            busy.await.expect("no panic").expect("released");
            assert_eq!(fs::read(directory.file("queued"), 100).await.expect("read"), b"untouched");
            // A deadline that has passed touches nothing.
            file.set_deadline(Some(Instant::now()));
            assert_eq!(class(file.write_at(b"NEVER", 0).await), Err(Class::Timeout));
            file.set_deadline(Some(Instant::now() + Duration::from_secs(60)));
            let mut bytes = [0; 9];
            assert_eq!(class(file.read_at(&mut bytes, 0).await), Ok(9));
            assert_eq!(&bytes, b"untouched");
        });
        support::net::assert_baseline(runtime);
    });
}

#[test]
fn an_open_that_hangs_is_given_up_and_its_file_is_closed() {
    on_alarms("a FIFO", async |_| {
        let directory = Directory::new();
        let fifo = directory.file("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
        assert!(made.success());
        // The thread is let go of by somebody who writes; what it opened is closed again, and the pipe breaks. Given up before a thread had
        // taken it, nothing is opened at all: then nobody reads.
        let mut writer = loop {
            let armed_ns = now_ns();
            let late = timeout(5 * MS, File::open(&fifo)).await;
            assert!(late.is_err() && now_ns() - armed_ns >= 5_000_000);
            let mut options = std::fs::OpenOptions::new();
            match options.write(true).custom_flags(libc::O_NONBLOCK).open(&fifo) {
                Ok(writer) => break writer,
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "{error}"),
            }
        };
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            match writer.write(b"x") {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                other => assert!(Instant::now() < patience, "never closed: {other:?}"),
            }
            sleep(MS).await;
        }
        // What has no position says so.
        let mut options = std::fs::OpenOptions::new();
        let mut fifo = File::open_with(options.read(true).write(true), &fifo).await.expect("both ends");
        assert_eq!(class(fifo.read(&mut [0; 8]).await), Err(Class::Errno(libc::ESPIPE)));
    });
}

#[test]
fn a_shutdown_ends_operations() {
    on_alarms("shutdown", async |_| {
        let directory = Directory::new();
        let file = open_for_both(&directory.file("file")).await;
        let (go, hold) = held();
        let work = move |_: &std::fs::File| {
            hold();
            Ok(())
        };
        let waiting = spawn(async move { class(file.with(work).await) });
        yield_now().await;
        runtime_handle().shutdown().expect("room");
        assert_eq!(waiting.await.expect("no panic"), Err(Class::Shutdown));
        drop(go);
    });
}

/// Has an operation that was given up go on until what is returned is dropped.
async fn hold_up(file: &File) -> std::sync::mpsc::Sender<()> {
    let (go, hold) = held();
    let (begun, has_begun) = channel::<()>();
    let mut holding = Box::pin(file.with(move |_| {
        drop(begun);
        hold();
        Ok(())
    }));
    assert!(poll_once(holding.as_mut()).is_pending());
    while has_begun.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
        sleep(MS).await;
    }
    go
}

async fn polled_read(file: &mut File, bytes: &mut [u8]) -> std::io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut *file).poll_read(cx, bytes)).await
}

async fn polled_write(file: &mut File, bytes: &[u8]) -> std::io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut *file).poll_write(cx, bytes)).await
}

#[test]
fn the_futures_traits_do_the_same() {
    on_alarms("traits", async |_| {
        let directory = Directory::new();
        let mut file = open_for_both(&directory.file("polled")).await;
        assert_eq!(polled_write(&mut file, b"0123456789").await.expect("written"), 10);
        let seek = poll_fn(|cx| Pin::new(&mut file).poll_seek(cx, SeekFrom::End(-4))).await;
        assert_eq!(seek.expect("moved"), 6);
        let mut bytes = [0; 8];
        assert_eq!(polled_read(&mut file, &mut bytes).await.expect("read"), 4);
        assert_eq!(&bytes[..4], b"6789");
        poll_fn(|cx| Pin::new(&mut file).poll_seek(cx, SeekFrom::Start(0))).await.expect("moved");
        // Begun with much room, ended with little: nothing is lost.
        let go = hold_up(&file).await;
        assert!(poll_once(polled_read(&mut file, &mut [0; 8])).is_pending());
        drop(go);
        assert_eq!(polled_read(&mut file, &mut bytes[..3]).await.expect("read"), 3);
        assert_eq!(polled_read(&mut file, &mut bytes[3..]).await.expect("read"), 5);
        assert_eq!(&bytes, b"01234567");
        // A write that was begun and given up for another, before a thread had begun with it.
        poll_fn(|cx| Pin::new(&mut file).poll_seek(cx, SeekFrom::Start(0))).await.expect("moved");
        let go = hold_up(&file).await;
        assert!(poll_once(polled_write(&mut file, b"AAAA")).is_pending());
        drop(go);
        assert_eq!(polled_write(&mut file, b"BB").await.expect("written"), 2);
        assert_eq!(file.position(), 2);
        let written = fs::read(directory.file("polled"), 100).await.expect("read");
        assert_eq!(written, b"BB23456789");
        let mut nothing = poll_once(polled_write(&mut file, b""));
        assert!(matches!(&mut nothing, Poll::Ready(Ok(0))));
    });
}

#[test]
fn random_programs_do_to_a_file_what_they_do_to_its_twin() {
    for seed in support::seeds(&[1, 2, 3]) {
        println!("PUNCTUAL_SEED={seed}");
        on_alarms("the twin", async |_| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let directory = Directory::new();
            let mut file = open_for_both(&directory.file("file")).await;
            let mut options = std::fs::OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let mut twin = options.open(directory.file("twin")).expect("opened");
            for step in 0..120 {
                let length = rng.usize(1..5_000);
                let what = rng.u8(0..6);
                match what {
                    0 | 1 => {
                        let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                        file.write_all(&bytes).await.expect("written");
                        twin.write_all(&bytes).expect("written");
                    }
                    2 => {
                        let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
                        let read = file.read(&mut ours).await.expect("read");
                        assert_eq!(
                            read,
                            twin.read(&mut theirs).expect("read"),
                            "seed {seed}, step {step}"
                        );
                        assert!(ours == theirs, "seed {seed}, step {step}");
                    }
                    3 => {
                        let to = SeekFrom::Start(rng.u64(0..20_000));
                        let to = if rng.bool() { to } else { SeekFrom::End(rng.i64(-500..500)) };
                        let ours = file.seek(to).await.ok();
                        assert_eq!(ours, twin.seek(to).ok(), "seed {seed}, step {step}");
                    }
                    4 => {
                        let length = rng.u64(0..20_000);
                        file.set_len(length).await.expect("cut");
                        twin.set_len(length).expect("cut");
                    }
                    _ => {
                        // Begun and given up: nothing moves, and it is no worse than if it had not been begun.
                        let mut buffer = vec![0; length];
                        if let Poll::Ready(read) = poll_once(file.read(&mut buffer)) {
                            // A thread was that quick.
                            let theirs = twin.read(&mut vec![0; length]).expect("read");
                            assert_eq!(read.expect("read"), theirs);
                        }
                    }
                }
                assert_eq!(file.position(), twin.stream_position().expect("known"));
            }
            let ours = fs::read(directory.file("file"), usize::MAX).await.expect("read");
            assert!(ours == std::fs::read(directory.file("twin")).expect("read"), "seed {seed}");
        });
    }
}

#[test]
fn many_files_at_once_share_few_threads() {
    on_alarms("many", async |_| {
        let directory = Arc::new(Directory::new());
        let tasks: Vec<_> = (0..100_u32)
            .map(|number| {
                let directory = directory.clone();
                spawn(async move {
                    let path = directory.file(&number.to_string());
                    fs::write(&path, number.to_le_bytes()).await.expect("written");
                    let mut file = File::open(&path).await.expect("opened");
                    let mut bytes = [0; 4];
                    assert_eq!(file.read(&mut bytes).await.expect("read"), 4);
                    assert_eq!(u32::from_le_bytes(bytes), number);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}
