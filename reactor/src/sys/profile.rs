//! Puts a label on each sample of a CPU profile (feature `profile`).
//!
//! The profiler's own handler of `SIGPROF` adds samples up whose thread and stack are the same, whatever the thread
//! was at. So the label has to be in the stack: [`labelled`] stands before that handler, and calls it through one
//! function for each hexadecimal digit of the label.
//!
//! ```text
//!   the task's functions ◀─ interrupted ─ labelled ─▶ digit_b ─▶ digit_2 ─▶ the profiler's handler      label 0x2b
//! ```
//!
//! A label is what a thread does between two changes of what it does (of its task or its span), and is given out by
//! the handler when it first samples it. So a change in which no sample was taken costs a load and a branch, and there are no
//! more labels than samples.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// The address of the profiler's handler.
static WRAPPED: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicU64 = AtomicU64::new(0);
static NEXT_LABEL: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// The label of the samples since the last change on this thread; zero while there is none. Atomic because
    /// the signal handler is another flow of control on the same thread.
    static LABEL: AtomicU32 = const { AtomicU32::new(0) };
}

/// What the kernel told the handler, to be passed on.
struct Signal {
    handler: usize,
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
}

impl Signal {
    fn pass_on(&self, label: u32) {
        if label != 0 {
            return DIGITS[(label & 0xf) as usize](self, label >> 4);
        }
        // SAFETY: `wrap_handler` alone stores an address, and only that of a handler which takes three arguments
        // (SA_SIGINFO); functions are never unloaded (the profiler is linked into this program).
        let handler = unsafe { std::mem::transmute::<usize, Handler>(self.handler) };
        handler(self.number, self.info, self.context);
    }
}

macro_rules! digits {
    ($($digit:ident)*) => {
        $(
            // What comes after the call keeps its frame, and keeps it from being merged with its like.
            #[inline(never)]
            fn $digit(signal: &Signal, rest: u32) {
                signal.pass_on(rest);
                std::hint::black_box(stringify!($digit));
            }
        )*
        const DIGITS: [fn(&Signal, u32); 16] = [$($digit),*];
    };
}

digits! {
    digit_0 digit_1 digit_2 digit_3 digit_4 digit_5 digit_6 digit_7
    digit_8 digit_9 digit_a digit_b digit_c digit_d digit_e digit_f
}

/// Safe to call at any moment: it touches atomics and its own stack.
#[inline(never)]
extern "C" fn labelled(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    let label = LABEL.with(|current| {
        if current.load(Ordering::Relaxed) == 0 {
            // Zero is no label, also once they have all been given out.
            current.store(NEXT_LABEL.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
        current.load(Ordering::Relaxed)
    });
    let signal = Signal { handler: WRAPPED.load(Ordering::Relaxed), number, info, context };
    signal.pass_on(label);
    std::hint::black_box(&signal);
}

/// The label of the samples taken on this thread since the last call, if any were.
#[inline]
pub(crate) fn take_label() -> Option<u32> {
    LABEL.with(|current| {
        let label = current.load(Ordering::Relaxed);
        if label == 0 {
            return None;
        }
        current.store(0, Ordering::Relaxed);
        Some(label)
    })
}

/// How many signals the profiler's timer has raised in this process.
#[must_use]
pub fn signals() -> u64 {
    SIGNALS.load(Ordering::Relaxed)
}

/// Has the samples taken from here on carry labels. To be called after a profiler has installed its handler of
/// `SIGPROF`, each time it does.
///
/// # Errors
/// `NotFound` if there is no such handler; what `sigaction(2)` says.
pub fn wrap_handler() -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sigaction.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: no action is set, and the one in force is written to a place that outlives the call.
    super::check(unsafe { libc::sigaction(libc::SIGPROF, std::ptr::null(), &mut action) })?;
    let ours = labelled as *const () as libc::sighandler_t;
    if action.sa_sigaction == ours {
        return Ok(());
    }
    let is_function = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction);
    if !is_function || action.sa_flags & libc::SA_SIGINFO == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no profiler handles SIGPROF"));
    }
    WRAPPED.store(action.sa_sigaction, Ordering::Relaxed);
    action.sa_sigaction = ours;
    // SAFETY: `action` outlives the call. Its handler is safe to call at any moment, as far as the one is that it calls,
    // whose flags and mask it keeps.
    super::check(unsafe { libc::sigaction(libc::SIGPROF, &action, std::ptr::null_mut()) }).map(drop)
}

/// Stops the timer that raises `SIGPROF` (`ITIMER_PROF`, setitimer(2)).
pub fn stop_timer() {
    // SAFETY: all-zero bytes are a valid itimerval, which stops the timer.
    let stopped: libc::itimerval = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `stopped` outlives the call and the old value is not asked for.
    let result = unsafe { libc::setitimer(libc::ITIMER_PROF, &stopped, std::ptr::null_mut()) };
    debug_assert_eq!(result, 0, "setitimer fails only for a timer that does not exist");
}

/// Reads the label out of a sample's stack, given where each of its functions begins, the innermost first. Also
/// tells how many of those frames are the sampling's own: what is left begins with the function interrupted.
/// `None` if the sample carries no label.
pub fn read_label(functions: impl IntoIterator<Item = usize>) -> Option<(u32, usize)> {
    let mut label = 0_u32;
    for (depth, function) in functions.into_iter().enumerate() {
        if function == labelled as *const () as usize {
            // The next is the kernel's, to which the handler returns.
            return Some((label, depth + 2));
        }
        if let Some(digit) = DIGITS.iter().position(|at| *at as *const () as usize == function) {
            label = label << 4 | digit as u32;
        }
    }
    None
}

/// Whether stacks may be walked wherever a thread was interrupted. The walk looks up unwind tables; before glibc 2.35
/// it did so under a lock (`dl_iterate_phdr(3)`), which the interrupted code may hold.
#[must_use]
pub fn unwinds_anywhere() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it returns a string that is never freed.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        let mut parts =
            version.to_str().unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0_u32));
        (parts.next(), parts.next()) >= (Some(2), Some(35))
    }
    #[cfg(not(target_env = "gnu"))]
    false
}
