//! [`Process`]: whether this is still the process that something was made in.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that asked first. It changes only where there is one thread: in a child,
/// before `fork` returns there.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// One process. A child that it forks off has all of its descriptors, its epoll among them, and would take events and registrations
/// away from it: what belongs to a loop compares before it asks the kernel for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    forks: u32,
}

impl Process {
    /// This one. From now on the forks of `fork(3)` are counted; those of a bare clone(2) are not seen.
    pub(crate) fn this() -> Process {
        static COUNTED: Once = Once::new();
        COUNTED.call_once(|| {
            // It fails only for want of memory; then children are not told.
            // SAFETY: the handler does nothing but add to an atomic, which a child may do before anything else.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        });
        Process { forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Whether this code runs in it, and not in a child of it. It costs a load.
    #[inline]
    pub(crate) fn is_this(self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// An error in a child of it.
    #[inline]
    pub(crate) fn check(self) -> io::Result<()> {
        if self.is_this() { Ok(()) } else { Err(belongs_to_the_parent()) }
    }
}

#[cold]
fn belongs_to_the_parent() -> io::Error {
    io::Error::other(
        "this process was forked off from the one that the event loop belongs to, and shares its epoll: a child needs a runtime of its \
         own, built after the fork",
    )
}
