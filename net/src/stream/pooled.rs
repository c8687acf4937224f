//! [`Pooled`]: what was read, in a buffer that is borrowed from the thread's pool.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};

use punctual_reactor::{Direction, Done};

use crate::error::Error;
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// How much is read at once, in bytes.
const SIZE: usize = 16 * 1024;

/// How many buffers a thread keeps that nobody uses: 256 KiB. What is given back beyond them is freed.
const KEPT: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// What [`Socket::read_pooled`] has read. It dereferences to those bytes, and gives its buffer back to the pool of the thread
/// when it is dropped: keep it while you look at the bytes, and drop it before you wait for something else.
pub struct Pooled {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Pooled {
    /// Fills a buffer of the pool by `read`, which says how much of it. If it reads nothing the buffer goes back at once.
    fn read(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Done<Pooled>> {
        let taken = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        let buffer = taken.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
        let mut pooled = Pooled { buffer, filled: 0 };
        pooled.filled = read(&mut pooled.buffer)?;
        Ok(Done::step(pooled.filled, SIZE).ends_with(pooled))
    }
}

impl Drop for Pooled {
    #[inline]
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // While the thread ends there is no pool: it is freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}

impl Deref for Pooled {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl DerefMut for Pooled {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.filled]
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Not what was read, which may be a secret.
impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("bytes", &self.filled).finish_non_exhaustive()
    }
}

/// Reading without a buffer of one's own.
impl<T: StreamTransport> Socket<T> {
    /// Reads what has come, up to 16 KiB, into a buffer that it borrows from a pool of this thread, or waits for it. What was read
    /// is empty at the end of what the peer sends.
    ///
    /// While it waits it holds no buffer. So a thousand connections that say nothing share the room of the few that do; a
    /// thread keeps 16 buffers at most that are not in use.
    ///
    /// Cancel-safe: dropped before it is ready, it has read nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use punctual_net::TcpStream;
    ///
    /// async fn echo(stream: TcpStream) -> Result<(), punctual_net::Error> {
    ///     stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    ///     loop {
    ///         let read = stream.read_pooled().await?;
    ///         if read.is_empty() {
    ///             return Ok(());
    ///         }
    ///         stream.write_all(&read).await?;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`read`](Socket::read).
    pub fn read_pooled(&self) -> impl Future<Output = Result<Pooled, Error>> {
        let attempt = |io: &T::Io| Pooled::read(|buffer| self.received(T::read(io, buffer)));
        self.io.operate_or(Direction::Read, attempt, |failure| self.read_failed(failure).tell())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Poll;
    use std::time::Duration;

    use punctual_reactor::{Instant, Runtime, next_turn, spawn};

    use super::*;
    use crate::duplex;

    /// The tests run on threads of their own, but a thread may serve several.
    fn run(future: impl Future<Output = ()>) {
        drop(POOL.take());
        Runtime::new().expect("a runtime").block_on(future);
    }

    fn idle_buffers() -> usize {
        POOL.with_borrow(Vec::len)
    }

    #[test]
    fn what_waits_holds_no_buffer_and_all_share_one() {
        run(async {
            let (near, far): (Vec<_>, Vec<_>) = (0..100).map(|_| duplex(64)).unzip();
            let tasks: Vec<_> = near
                .into_iter()
                .map(|near| spawn(async move { near.read_pooled().await.map(|read| read.to_vec()) }))
                .collect();
            for _ in 0..3 {
                next_turn().await;
            }
            assert!(idle_buffers() <= 1, "all wait");
            for (number, (task, far)) in tasks.into_iter().zip(&far).enumerate() {
                far.write_all(&[number as u8]).await.expect("it is open");
                let read = task.await.expect("it does not panic").expect("it is open");
                assert_eq!(read, [number as u8], "and nothing of what others have read");
                assert_eq!(idle_buffers(), 1);
            }
        });
    }

    /// Each connection that says nothing has both.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn what_waits_takes_no_more_room_than_it_did() {
        assert_eq!(size_of::<crate::TcpStream>(), 64);
        run(async {
            let (near, _far) = duplex(64);
            assert_eq!(size_of_val(&near.read_pooled()), 56);
        });
    }

    #[test]
    fn no_more_buffers_are_kept_than_it_says_whatever_is_held_at_once() {
        run(async {
            let (near, far) = duplex(64);
            let mut held = Vec::new();
            for number in 0..3 * KEPT {
                far.write_all(&[number as u8; 3]).await.expect("it is open");
                held.push(near.read_pooled().await.expect("it is open"));
            }
            assert_eq!(idle_buffers(), 0);
            assert!(held.iter().enumerate().all(|(number, read)| **read == [number as u8; 3]));
            drop(held);
            assert_eq!(idle_buffers(), KEPT);
        });
    }

    #[test]
    fn more_than_a_buffer_comes_in_several_and_the_end_is_empty() {
        run(async {
            let (near, far) = duplex(3 * SIZE);
            far.write_all(&vec![7; SIZE + 1]).await.expect("it is open");
            drop(far);
            for expected in [SIZE, 1, 0] {
                let read = near.read_pooled().await.expect("it has ended well");
                assert_eq!(read.len(), expected);
                assert!(read.iter().all(|byte| *byte == 7));
            }
        });
    }

    #[test]
    fn given_up_it_has_read_nothing() {
        run(async {
            let (near, far) = duplex(64);
            {
                let mut read = pin!(near.read_pooled());
                let polled = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                far.write_all(b"kept").await.expect("it is open");
            }
            assert_eq!(*near.read_pooled().await.expect("it is open"), *b"kept");
        });
    }

    #[test]
    fn its_deadline_ends_it_and_not_before() {
        run(async {
            let (near, far) = duplex(64);
            let budget = Duration::from_millis(3);
            near.set_read_timeout(Some(budget)).expect("it is open");
            let began = Instant::now();
            let error = near.read_pooled().await.expect_err("nobody writes");
            assert!(error.is_timeout() && Instant::now() - began >= budget, "{error}");
            far.write_all(b"late").await.expect("it is open");
            drop(near.read_pooled().await.expect("it is open"));
            assert_eq!(idle_buffers(), 1, "given back");
        });
    }

    #[test]
    fn a_buffer_may_end_on_another_thread_and_its_debug_tells_nothing() {
        run(async {
            let (near, far) = duplex(64);
            far.write_all(b"secret").await.expect("it is open");
            let mut read = Rc::new(near.read_pooled().await.expect("it is open"));
            Rc::get_mut(&mut read).expect("nobody else has it").make_ascii_uppercase();
            let read = Rc::into_inner(read).expect("nobody else has it");
            assert_eq!(format!("{read:?}"), "Pooled { bytes: 6, .. }");
            let read = std::thread::spawn(move || read.to_vec()).join().expect("it does not panic");
            assert_eq!((read.as_slice(), idle_buffers()), (b"SECRET".as_slice(), 0));
        });
    }
}
