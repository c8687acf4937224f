//! Faults that only a system call can make, for this project's tests (feature `rig`).

use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// A storm of `SIGALRM`s from `ITIMER_REAL` that interrupts the system calls of this process, until it
/// is dropped. One at a time: the timer and the handler belong to the process.
#[derive(Debug)]
pub struct SignalStorm {
    before: u64,
}

impl SignalStorm {
    /// Raises one signal every `period`, with or without `SA_RESTART`.
    ///
    /// # Errors
    /// What `sigaction(2)` or `setitimer(2)` says.
    pub fn start(period: Duration, sa_restart: bool) -> io::Result<SignalStorm> {
        // SAFETY: all-zero bytes are a valid sigaction: no handler, an empty mask, no flags.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = count as *const () as libc::sighandler_t;
        action.sa_flags = if sa_restart { libc::SA_RESTART } else { 0 };
        // SAFETY: `action` outlives the call, and its handler does nothing but add to an atomic.
        check(unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) })?;
        set_interval(period)?;
        Ok(SignalStorm { before: SIGNALS.load(Ordering::Relaxed) })
    }

    /// How many signals have come.
    #[must_use]
    pub fn signals(&self) -> u64 {
        SIGNALS.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for SignalStorm {
    fn drop(&mut self) {
        // It cannot fail for a timer that was set; the handler stays, in case a last signal is under way.
        let _ = set_interval(Duration::ZERO);
    }
}

/// Has a `SIGPIPE` kill this process, as a program does that embeds this one and is not written in Rust.
///
/// # Errors
/// What `signal(2)` says.
pub fn default_sigpipe() -> io::Result<()> {
    // SAFETY: the default action needs no handler.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A child of this process that has been forked off and not waited for.
#[derive(Debug)]
#[must_use]
pub struct Forked {
    pid: libc::pid_t,
}

/// Forks. The child has all descriptors of this process, runs `body`, and ends with what that returns as its status, or with 101 if
/// it panics; no destructor and no handler of this program is run.
///
/// The child has one thread: what another held at the fork it never lets go of. (The allocator of glibc is usable all the same; the
/// standard streams may not be.)
///
/// # Errors
/// What `fork(2)` says.
pub fn fork(body: impl FnOnce() -> u8) -> io::Result<Forked> {
    // SAFETY: no pointer is passed. What the child may rely on is said above, and it never returns from here.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: it runs no handler and no destructor.
        unsafe { libc::_exit(status.into()) };
    }
    check(pid)?;
    Ok(Forked { pid })
}

impl Forked {
    /// Waits for its end. Its status; `None` if a signal has ended it.
    ///
    /// # Errors
    /// What `waitpid(2)` says.
    pub fn wait(self) -> io::Result<Option<i32>> {
        let mut status = 0;
        // SAFETY: the pointer is valid for a write of one int for the length of the call.
        check(unsafe { libc::waitpid(self.pid, &mut status, 0) })?;
        Ok(libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)))
    }
}

/// A waker that panics when it is cloned; to wake it and to drop it does nothing.
#[must_use]
pub fn waker_whose_clone_panics() -> Waker {
    fn clone(_: *const ()) -> RawWaker {
        resume_unwind(Box::new("the clone of a waker panics"))
    }
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    // SAFETY: its functions use no data, and may be called on any thread. A `RawWaker` is made by none of them.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

fn set_interval(period: Duration) -> io::Result<()> {
    let period = libc::timeval {
        tv_sec: period.as_secs() as libc::time_t,
        tv_usec: period.subsec_micros() as libc::suseconds_t,
    };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: `timer` outlives the call and the old value is not asked for.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Faults that the sanitizers are there to find, made on purpose: so that it shows if they find nothing.
pub mod seeded {
    use std::cell::UnsafeCell;
    use std::hint::black_box;
    use std::sync::Barrier;

    struct Shared(UnsafeCell<u64>);

    // SAFETY: it is not sound, which is the point.
    unsafe impl Sync for Shared {}

    /// Two threads add to one number, with nothing between them.
    pub fn race() {
        let shared = Shared(UnsafeCell::new(0));
        // So that the one is not over before the other begins.
        let (shared, both) = (&shared, &Barrier::new(2));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    both.wait();
                    for _ in 0..1000 {
                        // SAFETY: the pointer is valid; that both write is the fault.
                        unsafe { *shared.0.get() += 1 };
                    }
                });
            }
        });
        // SAFETY: nobody else is left.
        black_box(unsafe { *shared.0.get() });
    }

    /// Reads what has been given back.
    pub fn use_after_free() {
        let freed = Box::into_raw(black_box(Box::new(7_u64)));
        // SAFETY: it came from a box; that it is read afterwards is the fault.
        black_box(unsafe {
            drop(Box::from_raw(freed));
            freed.read_volatile()
        });
    }

    /// Forgets memory to which nothing points.
    pub fn leak() {
        for _ in 0..10 {
            std::mem::forget(black_box(vec![7_u8; 1000]));
        }
    }
}
