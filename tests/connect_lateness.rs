//! How late the deadline of a connect is that nobody answers, beside raw timerfds in the same process: alone in it, so
//! that nothing else's load is measured.
//!
//! ```text
//! cargo test --release -p punctual --test connect_lateness -- --nocapture
//! ```
//!
//! Two hundred dials, twenty at a time, by turns with as many raw timerfds; each twenty end 10 ms apart. They are made
//! with a leeway of none ([`Connect::leeway`]), as the timerfds have none, and again with the default one, of which
//! the part that was chosen is then taken off.
//!
//! On a busy machine the median of two hundred wanders: while it is out of its bound more are dialled, up to four
//! times as many, and all count.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use punctual::net::{Connect, Kind};
use punctual::{AlarmKind, Instant, Leeway, Runtime, spawn};
use rustix::event::epoll;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use socket2::{Domain, Socket, Type};

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The control: absolute timerfds in an epoll set, and nothing else.
struct Control {
    epoll: OwnedFd,
    timers: Vec<OwnedFd>,
}

impl Control {
    fn new(timers: usize) -> rustix::io::Result<Control> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut control = Control { epoll, timers: Vec::new() };
        for name in 0..timers {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&control.epoll, &timer, epoll::EventData::new_u64(name as u64), edges)?;
            control.timers.push(timer);
        }
        Ok(control)
    }

    /// Waits for each of `deadlines_ns`; returns how late each was.
    fn wait_for(&self, deadlines_ns: &[u64]) -> rustix::io::Result<Vec<u64>> {
        for (timer, deadline_ns) in self.timers.iter().zip(deadlines_ns) {
            let at = Timespec {
                tv_sec: (deadline_ns / 1_000_000_000) as _,
                tv_nsec: (deadline_ns % 1_000_000_000) as _,
            };
            let once = Itimerspec { it_interval: Timespec::default(), it_value: at };
            timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once)?;
        }
        let mut late = Vec::new();
        while late.len() < deadlines_ns.len() {
            let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
            for event in epoll::wait(&self.epoll, &mut events, None)?.0 {
                let deadline_ns = deadlines_ns[event.data.u64() as usize];
                late.push(now_ns().checked_sub(deadline_ns).expect("never early"));
            }
        }
        Ok(late)
    }
}

/// The sample that at least the share `q` does not exceed.
fn quantile(samples: &mut [u64], q: f64) -> u64 {
    samples.sort_unstable();
    samples[(q * samples.len() as f64).ceil() as usize - 1]
}

const AT_A_TIME: u64 = 20;
const ROUNDS: usize = 10;
const ROUNDS_MAX: usize = 4 * ROUNDS;
const BUDGET: Duration = Duration::from_millis(200);
const APART: Duration = Duration::from_millis(10);

/// By when each of the twenty has to be done.
fn deadlines_ns() -> Vec<u64> {
    let first = now_ns() + BUDGET.as_nanos() as u64;
    (0..AT_A_TIME).map(|nth| first + nth * APART.as_nanos() as u64).collect()
}

/// By how much the dials were late.
#[derive(Default)]
struct Late {
    /// Until the kernel had woken the loop; until the deadline fired, as the error says; until the caller had it.
    parts: [Vec<u64>; 3],
}

async fn dial(address: SocketAddr, deadline_ns: u64, leeway: Option<Leeway>) -> [u64; 3] {
    let mut connect = Connect::to(address).deadline(Instant::from_nanos(deadline_ns));
    if let Some(leeway) = leeway {
        connect = connect.leeway(leeway);
    }
    let error = connect.connect().await.expect_err("nobody answers");
    let seen = now_ns().checked_sub(deadline_ns).expect("never early");
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let info = error.deadline().expect("a deadline");
    assert_eq!(info.deadline(), Instant::from_nanos(deadline_ns));
    let firing = info.firing().expect("it fired");
    // Of its own choice nothing is held against it.
    let chosen = firing.quantisation.as_nanos() as u64;
    let lateness = info.lateness().as_nanos() as u64;
    [firing.kernel.as_nanos() as u64, lateness - chosen, seen - chosen]
}

fn dial_twenty(runtime: &Runtime, address: SocketAddr, leeway: Option<Leeway>, late: &mut Late) {
    runtime.block_on(async {
        let dials: Vec<_> =
            deadlines_ns().into_iter().map(|at| spawn(dial(address, at, leeway))).collect();
        for dial in dials {
            let parts = dial.await.expect("no panic");
            late.parts.iter_mut().zip(parts).for_each(|(samples, part)| samples.push(part));
        }
    });
}

/// Its queue takes one connection and no more, not accepted from: the next SYN is not answered.
fn deaf_listener() -> (TcpListener, SocketAddr, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(0).expect("listening");
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().expect("its address");
    let filler = TcpStream::connect(address).expect("the first is taken");
    (listener, address, filler)
}

/// Says how late they were; returns what is out of its bound.
fn report(name: &str, late: &mut Late, of_control: u64) -> Option<String> {
    let dials = late.parts[0].len();
    println!("{name}: {dials} dials, timerfd p50 {:.1} µs", of_control as f64 / 1e3);
    // Unoptimised and cold, the code of the loop alone takes as long as the kernel; then only the kernel's part
    // is comparable. On the way to the caller the socket is asked why, and closed.
    let optimised = !cfg!(debug_assertions);
    let bounds = [("woken", Some(1.3)), ("fired", optimised.then_some(1.3)), ("seen", None)];
    let mut exceeded = None;
    for ((part, bound), samples) in bounds.into_iter().zip(&mut late.parts) {
        let [p50, p90] = [0.5, 0.9].map(|q| quantile(samples, q));
        let ratio = p50 as f64 / of_control as f64;
        let [p50, p90] = [p50, p90].map(|ns| ns as f64 / 1e3);
        println!("  {part} p50 {p50:.1} µs, p90 {p90:.1} µs; p50 is {ratio:.2} of the timerfd's");
        if bound.is_some_and(|bound| ratio > bound) {
            exceeded = Some(format!("{name}, {part}: {ratio:.2} of the timerfd's, at most {bound:?}"));
        }
    }
    exceeded
}

#[test]
fn two_hundred_black_holed_dials_are_no_later_than_timerfds() {
    let control = Control::new(AT_A_TIME as usize).expect("timerfds");
    let runtime = Runtime::builder().alarm(AlarmKind::TimerFd).build().expect("a runtime");
    let (_listener, address, _filler) = deaf_listener();
    let (mut of_control, mut exact, mut shared) = (Vec::new(), Late::default(), Late::default());
    for round in 1..=ROUNDS_MAX {
        dial_twenty(&runtime, address, Some(Leeway::NONE), &mut exact);
        of_control.extend(control.wait_for(&deadlines_ns()).expect("they wait"));
        dial_twenty(&runtime, address, None, &mut shared);
        if !round.is_multiple_of(ROUNDS) {
            continue;
        }
        let of_control = quantile(&mut of_control, 0.5);
        let exceeded = report("no leeway", &mut exact, of_control);
        let exceeded =
            exceeded.or(report("default leeway, without the part chosen", &mut shared, of_control));
        match exceeded {
            None => break,
            Some(exceeded) => assert!(round < ROUNDS_MAX, "{exceeded}"),
        }
    }
    assert_eq!(runtime.drift().early, 0);
}
