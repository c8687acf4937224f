//! How late the loop is, beside a raw timerfd in the same process: alone in it, so that nothing else's load is measured.
//!
//! Early is absolute, late is relative: one early firing fails, lateness is judged by a ratio of medians.

use std::os::fd::OwnedFd;
use std::time::Duration;

use punctual::reactor::{Event, Reactor};
use punctual::{AlarmKind, Instant, Leeway, Runtime, sleep_until};
use rustix::event::epoll;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The control: an absolute timerfd in an epoll set, and nothing else.
struct Control {
    epoll: OwnedFd,
    timer: OwnedFd,
}

impl Control {
    fn new() -> rustix::io::Result<Control> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(0), edges)?;
        Ok(Control { epoll, timer })
    }

    fn wait_until(&self, deadline_ns: u64) -> rustix::io::Result<()> {
        let at = Timespec {
            tv_sec: (deadline_ns / 1_000_000_000) as _,
            tv_nsec: (deadline_ns % 1_000_000_000) as _,
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
        while epoll::wait(&self.epoll, &mut events, None)?.0.is_empty() {}
        Ok(())
    }
}

/// The sample that at least the share `q` does not exceed.
fn quantile(samples: &mut [u64], q: f64) -> u64 {
    samples.sort_unstable();
    samples[(q * samples.len() as f64).ceil() as usize - 1]
}

const WAIT: Duration = Duration::from_secs(1);
const LOOPS: u64 = 32;
const ROUNDS: u32 = 5;

/// Waits on `LOOPS` threads, each `ROUNDS` times, spread evenly over the second; `odd` puts them between those
/// of the other kind, so that what disturbs the machine disturbs both.
fn on_loops<T: Send + 'static>(odd: u64, wait: fn(u64) -> Vec<T>) -> impl FnOnce() -> Vec<T> {
    let start = |n| {
        let phase_ns = (2 * n + odd) * WAIT.as_nanos() as u64 / (2 * LOOPS);
        std::thread::spawn(move || wait(phase_ns))
    };
    let threads: Vec<_> = (0..LOOPS).map(start).collect();
    || threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
}

/// By how much each wait of the control was late.
fn wait_on_a_timerfd(phase_ns: u64) -> Vec<u64> {
    let control = Control::new().expect("a timerfd");
    control.wait_until(now_ns() + phase_ns).expect("it waits");
    let one = |_| {
        let deadline_ns = now_ns() + WAIT.as_nanos() as u64;
        control.wait_until(deadline_ns).expect("it waits");
        now_ns().checked_sub(deadline_ns).expect("never early")
    };
    (0..ROUNDS).map(one).collect()
}

/// By how much each sleep was late: until the kernel had woken the loop, until it fired, until the task ran.
fn sleep_in_a_task(phase_ns: u64) -> Vec<[u64; 3]> {
    let runtime = Runtime::builder().alarm(AlarmKind::TimerFd).build().expect("a runtime");
    let mut late = Vec::new();
    runtime.block_on(async {
        sleep_until(Instant::from_nanos(now_ns() + phase_ns)).await;
        for _ in 0..ROUNDS {
            let deadline_ns = now_ns() + WAIT.as_nanos() as u64;
            let mut sleep = sleep_until(Instant::from_nanos(deadline_ns));
            (&mut sleep).await;
            let seen = now_ns().checked_sub(deadline_ns).expect("never early");
            let firing = sleep.firing().expect("it has fired");
            let woken = firing.quantisation + firing.kernel;
            late.push([woken.as_nanos() as u64, firing.lateness().as_nanos() as u64, seen]);
        }
    });
    assert_eq!(runtime.drift().early, 0);
    late
}

fn a_second_beside_a_timerfd() {
    let (control, ours) = (on_loops(0, wait_on_a_timerfd), on_loops(1, sleep_in_a_task));
    let (mut control, ours) = (control(), ours());
    let of_control = quantile(&mut control, 0.5) as f64;
    println!("a second, {} times: timerfd p50 {:.1} µs", control.len(), of_control / 1e3);
    // Unoptimised and cold, the code of the loop alone takes as long as the kernel; then only the kernel's part
    // is comparable. The task's own way is the longest, and in it a few microseconds of a cold cache.
    let optimised = !cfg!(debug_assertions);
    let bounds =
        [("woken", Some(1.3)), ("fired", optimised.then_some(1.3)), ("seen", optimised.then_some(1.6))];
    for (part, (name, bound)) in bounds.into_iter().enumerate() {
        let mut late: Vec<u64> = ours.iter().map(|parts| parts[part]).collect();
        let p50 = quantile(&mut late, 0.5) as f64;
        let ratio = p50 / of_control;
        println!("  {name} p50 {:.1} µs, {ratio:.2} of the timerfd's", p50 / 1e3);
        assert!(
            bound.is_none_or(|bound| ratio <= bound),
            "{name}: {ratio:.2} of the timerfd's, at most {bound:?}"
        );
    }
}

/// The number of the histogram's bucket that holds `ns`: 32 to an octave.
fn bucket(ns: u64) -> u64 {
    let octave = u64::from(ns.max(32).ilog2() - 5);
    (octave << 5) + (ns >> octave)
}

/// T25: the loop's own account of its lateness lies between what is seen right before and right after.
fn the_account_agrees(alarm: AlarmKind) {
    let mut reactor = Reactor::builder().alarm(alarm).build_reactor().expect("a reactor");
    let mut rng = fastrand::Rng::with_seed(25);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let deadline_ns = now_ns() + rng.u64(200_000..3_000_000);
        reactor.insert_timer(Instant::from_nanos(deadline_ns), Leeway::NONE);
        let (asked_ns, told_ns) = loop {
            reactor.turn(None).expect("a turn");
            let asked_ns = now_ns();
            match reactor.next_event() {
                Some(Event::Timer { .. }) => break (asked_ns, now_ns()),
                None => {}
                other => panic!("{other:?}"),
            }
        };
        before.push(asked_ns.checked_sub(deadline_ns).expect("never early"));
        after.push(told_ns - deadline_ns);
    }
    let drift = reactor.drift();
    assert_eq!((drift.early, drift.total.count()), (0, 300));
    for q in [0.1, 0.5, 0.9, 0.99, 1.0] {
        let inside = drift.total.quantile(q).as_nanos() as u64;
        let outside = [&mut before, &mut after].map(|samples| quantile(samples, q));
        println!("{alarm:?} p{}: {inside} ns by its account, {outside:?} ns seen", q * 100.0);
        let [least, most] = outside.map(bucket);
        assert!((least..=most).contains(&bucket(inside)), "{inside} ns in, {outside:?} ns out");
    }
}

#[test]
fn lateness_is_the_kernels_and_the_account_of_it_is_true() {
    a_second_beside_a_timerfd();
    the_account_agrees(AlarmKind::TimerFd);
    the_account_agrees(AlarmKind::PollTimeout);
}
