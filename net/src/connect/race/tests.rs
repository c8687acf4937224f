//! The race on a clock that jumps: all times are exact.

use std::cell::{Cell, RefCell};
use std::future::{Pending, pending, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Runtime, VirtualClock, sleep, spawn, timeout_at};

use super::*;
use crate::connect::HappyEyeballs;
use crate::error::{Kind, Phase};

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(250);
/// How long a host takes to refuse, and to accept.
const REFUSAL: Duration = Duration::from_millis(2);
const HANDSHAKE: Duration = Duration::from_millis(1);
const BUDGET: Duration = Duration::from_secs(30);

type NoLate = Pending<Result<Vec<SocketAddr>, Error>>;

/// What becomes of an attempt is in the port of its address.
const OPEN: u16 = 1;
const CLOSED: u16 = 2;
const SILENT: u16 = 3;
/// Answers after as many milliseconds as the port is beyond this.
const SLOW: u16 = 10_000;

fn v4(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn v6(port: u16) -> SocketAddr {
    ([0, 0, 0, 0, 0, 0, 0, 1], port).into()
}

/// The hosts, and how many attempts at them are under way.
#[derive(Default)]
struct Hosts {
    running: Cell<usize>,
    most: Cell<usize>,
    started: RefCell<Vec<(SocketAddr, Instant)>>,
}

struct Socket(Rc<Hosts>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

impl Hosts {
    fn dial(
        self: &Rc<Hosts>,
        address: SocketAddr,
        deadline: Instant,
    ) -> impl Future<Output = Result<SocketAddr, Vain>> + use<> {
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        self.started.borrow_mut().push((address, Instant::now()));
        let socket = Socket(self.clone());
        async move {
            let _socket = socket;
            let answer = async {
                match address.port() {
                    OPEN => sleep(HANDSHAKE).await,
                    CLOSED => {
                        sleep(REFUSAL).await;
                        return Err(Vain::Address(refused(address)));
                    }
                    SILENT => pending().await,
                    slow => sleep(MS * u32::from(slow - SLOW)).await,
                }
                Ok(address)
            };
            timeout_at(deadline, answer).await.unwrap_or_else(|_| {
                Err(Vain::Address(Error::new(Kind::Timeout, Phase::Connect).with_peer(address)))
            })
        }
    }
}

fn refused(address: SocketAddr) -> Error {
    Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect).with_peer(address)
}

/// On a clock that jumps: all times are exact.
fn virtually(test: impl AsyncFnOnce()) {
    let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
    runtime.block_on(test());
    for _ in 0..100 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let metrics = runtime.metrics();
    assert_eq!((metrics.live_timers, metrics.live_wheel_entries, metrics.live_tasks), (0, 0, 0));
}

struct Row {
    addresses: Vec<SocketAddr>,
    /// Who wins, or how many causes there are.
    end: Result<SocketAddr, usize>,
    after: Duration,
    most_in_flight: usize,
}

fn rules() -> HappyEyeballs {
    HappyEyeballs::default().delay(DELAY)
}

async fn run<R: Future<Output = Result<Vec<SocketAddr>, Error>> + Unpin>(
    hosts: &Rc<Hosts>,
    addresses: Vec<SocketAddr>,
    rules: Option<HappyEyeballs>,
    late: Option<R>,
) -> Result<SocketAddr, Failures> {
    let deadline = Instant::now() + BUDGET;
    let dial = |address, deadline| hosts.dial(address, deadline);
    let mut race = Race::new(addresses, Pace::new(rules), deadline, dial).with_late(late, deadline);
    match poll_fn(|cx| race.poll(cx)).await {
        Ok(winner) => {
            assert_eq!(hosts.running.get(), 0, "the losers are closed while the race is still held");
            Ok(winner)
        }
        Err(Lost::Failed(failures)) => Err(failures),
        Err(Lost::Ended(error)) => panic!("{error}"),
    }
}

/// The rows of Go's `TestDialParallel`, with the outcomes that RFC 8305 gives them.
fn table() -> Vec<Row> {
    let row = |addresses: &[SocketAddr], end, after, most_in_flight| Row {
        addresses: addresses.to_vec(),
        end,
        after,
        most_in_flight,
    };
    let instant = HANDSHAKE;
    vec![
        // One address, or the first, answers.
        row(&[v4(OPEN)], Ok(v4(OPEN)), instant, 1),
        row(&[v6(OPEN)], Ok(v6(OPEN)), instant, 1),
        row(&[v4(OPEN), v6(SILENT)], Ok(v4(OPEN)), instant, 1),
        row(&[v6(OPEN), v4(SILENT)], Ok(v6(OPEN)), instant, 1),
        // The first is silent.
        row(&[v4(SILENT), v6(OPEN)], Ok(v6(OPEN)), DELAY + instant, 2),
        row(&[v6(SILENT), v4(OPEN)], Ok(v4(OPEN)), DELAY + instant, 2),
        // A refusal is passed over, without a delay.
        row(&[v4(CLOSED), v6(OPEN)], Ok(v6(OPEN)), REFUSAL + instant, 1),
        row(&[v6(CLOSED), v4(OPEN)], Ok(v4(OPEN)), REFUSAL + instant, 1),
        // A refusal of the second starts the third, beside the silent first.
        row(&[v4(SILENT), v6(CLOSED), v6(OPEN)], Ok(v6(OPEN)), DELAY + REFUSAL + instant, 2),
        // Slower than the delay, but the first to answer.
        row(&[v6(SLOW + 300), v4(SLOW + 100)], Ok(v6(SLOW + 300)), 300 * MS, 2),
        row(&[v6(SLOW + 400), v4(SLOW + 100)], Ok(v4(SLOW + 100)), DELAY + 100 * MS, 2),
        // All refuse.
        row(&[v4(CLOSED)], Err(1), REFUSAL, 1),
        row(&[v4(CLOSED), v6(CLOSED)], Err(2), REFUSAL * 2, 1),
        // None at all.
        row(&[], Err(0), Duration::ZERO, 0),
        // Many.
        row(&vec![v6(OPEN); 1_000], Ok(v6(OPEN)), instant, 1),
        row(
            &[vec![v6(CLOSED); 1_000], vec![v6(OPEN)]].concat(),
            Ok(v6(OPEN)),
            REFUSAL * 1_000 + instant,
            1,
        ),
    ]
}

#[test]
fn c14_happy_eyeballs_table() {
    for (at, Row { addresses, end, after, most_in_flight }) in table().into_iter().enumerate() {
        virtually(async || {
            let hosts = Rc::new(Hosts::default());
            let began = Instant::now();
            let result = run(&hosts, addresses, Some(rules()), None::<NoLate>).await;
            let passed = began.elapsed();
            assert_eq!(result.map_err(|failures| failures.causes.len()), end, "row {at}");
            assert_eq!(passed, after, "row {at}: {passed:?} of {after:?}");
            assert_eq!((hosts.most.get(), hosts.running.get()), (most_in_flight, 0), "row {at}");
        });
    }
}

#[test]
fn c14_cancelled_at_5_ms() {
    for (at, Row { addresses, end, after, .. }) in table().into_iter().enumerate() {
        virtually(async || {
            let hosts = Rc::new(Hosts::default());
            let began = Instant::now();
            let race = run(&hosts, addresses, Some(rules()), None::<NoLate>);
            let cancelled = timeout_at(began + 5 * MS, race).await;
            assert_eq!(hosts.running.get(), 0, "row {at}: nothing is left");
            match cancelled {
                Ok(result) => {
                    assert!(after <= 5 * MS, "row {at}");
                    assert_eq!(result.map_err(|failures| failures.causes.len()), end, "row {at}");
                }
                Err(_) => {
                    assert!(after > 5 * MS, "row {at}: {after:?}");
                    assert_eq!(began.elapsed(), 5 * MS, "row {at}: {:?}", began.elapsed());
                }
            }
        });
    }
}

#[test]
fn c14_starts_are_staggered_and_none_is_given_up() {
    virtually(async || {
        let hosts = Rc::new(Hosts::default());
        let addresses = vec![v6(SLOW + 5_000), v6(SILENT), v6(SILENT), v4(SILENT)];
        let began = Instant::now();
        let winner = run(&hosts, addresses, Some(rules()), None::<NoLate>).await.ok();
        assert_eq!(winner, Some(v6(SLOW + 5_000)), "the first, which was never given up");
        assert_eq!(began.elapsed(), 5_000 * MS, "{:?}", began.elapsed());
        assert_eq!(hosts.most.get(), 4);
        let started = hosts.started.borrow();
        let order: Vec<_> = started.iter().map(|(address, _)| address.is_ipv6()).collect();
        assert_eq!(order, [true, false, true, true], "the families take turns");
        for (nth, (_, at)) in (0u32..).zip(started.iter()) {
            assert_eq!(*at - began, DELAY * nth, "start {nth}: {:?}", *at - began);
        }
    });
}

#[test]
fn c14_one_after_the_other_starts_nothing_beside() {
    virtually(async || {
        let hosts = Rc::new(Hosts::default());
        let addresses = vec![v6(SILENT), v6(CLOSED), v4(OPEN)];
        let began = Instant::now();
        let winner = run(&hosts, addresses, None, None::<NoLate>).await.ok();
        assert_eq!((winner, hosts.most.get()), (Some(v4(OPEN)), 1));
        let after = BUDGET / 3 + REFUSAL + HANDSHAKE;
        assert_eq!(began.elapsed(), after, "{:?}: the first has its share", began.elapsed());
        let order: Vec<_> = hosts.started.borrow().iter().map(|(address, _)| *address).collect();
        assert_eq!(order, [v6(SILENT), v6(CLOSED), v4(OPEN)], "in the order given");
    });
}

#[test]
fn c17_a_thousand_silent_addresses_hold_few_sockets() {
    virtually(async || {
        let hosts = Rc::new(Hosts::default());
        let began = Instant::now();
        let addresses = vec![v6(SILENT); 1_000];
        let hasty = rules().delay(10 * MS);
        let failures = run(&hosts, addresses, Some(hasty), None::<NoLate>).await;
        let Err(Failures { causes, addresses, out_of_time }) = failures else {
            panic!("nobody answers")
        };
        assert_eq!(began.elapsed(), BUDGET, "{:?}", began.elapsed());
        assert_eq!((hosts.most.get(), addresses), (8, 1_000));
        // Each has its share of at least two seconds, eight at a time, in thirty.
        assert!((8 * 13..=8 * 15).contains(&causes.len()), "{}", causes.len());
        assert!(out_of_time.is_some());
    });
}

#[test]
fn causes_are_in_the_order_of_the_starts() {
    virtually(async || {
        let hosts = Rc::new(Hosts::default());
        let addresses = vec![v6(SILENT), v4(CLOSED), v6(CLOSED)];
        let failures = run(&hosts, addresses, Some(rules()), None::<NoLate>).await.err();
        let causes = failures.expect("nobody answers").causes;
        let peers: Vec<_> = causes.iter().filter_map(Error::peer).collect();
        assert_eq!(peers, [v6(SILENT), v4(CLOSED), v6(CLOSED)], "the silent one ended last");
    });
}

/// Addresses that are found after a while.
fn found(
    after: Duration,
    addresses: Vec<SocketAddr>,
) -> Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Error>>>> {
    Box::pin(async move {
        sleep(after).await;
        Ok(addresses)
    })
}

#[test]
fn late_addresses_are_taken_in() {
    virtually(async || {
        // (waiting, late, after, winner, in all)
        let late_v6 = |ms: u32| found(MS * ms, vec![v6(OPEN)]);
        let rows = [
            // Before their turn: they start when it comes.
            (vec![v4(SILENT), v4(SILENT)], late_v6(60), DELAY + HANDSHAKE),
            // After their turn has passed: at once.
            (vec![v4(SILENT)], late_v6(700), 700 * MS + HANDSHAKE),
            // When all else has failed: at once.
            (vec![v4(CLOSED)], late_v6(60), 60 * MS + HANDSHAKE),
        ];
        for (at, (addresses, late, after)) in rows.into_iter().enumerate() {
            let hosts = Rc::new(Hosts::default());
            let began = Instant::now();
            let winner = run(&hosts, addresses, Some(rules()), Some(late)).await.ok();
            assert_eq!(winner, Some(v6(OPEN)), "row {at}");
            assert_eq!(began.elapsed(), after, "row {at}: {:?} of {after:?}", began.elapsed());
        }
    });
}

#[test]
fn late_addresses_are_not_waited_for_beyond_their_time() {
    virtually(async || {
        let hosts = Rc::new(Hosts::default());
        let began = Instant::now();
        let dial = |address, deadline| hosts.dial(address, deadline);
        let mut race = Race::new(vec![v4(CLOSED)], Pace::new(Some(rules())), began + BUDGET, dial)
            .with_late(Some::<NoLate>(pending()), began + DELAY);
        let Err(Lost::Failed(failures)) = poll_fn(|cx| race.poll(cx)).await else { panic!() };
        assert_eq!((failures.causes.len(), failures.addresses), (1, 1));
        assert_eq!(began.elapsed(), DELAY, "{:?}", began.elapsed());
    });
}

#[test]
fn what_ends_one_from_outside_ends_all() {
    virtually(async || {
        let dial = |address: SocketAddr, _| async move {
            if address == v4(OPEN) {
                return Err(Vain::All(Error::new(Kind::Shutdown, Phase::Connect)));
            }
            pending::<Result<(), Vain>>().await
        };
        let addresses = vec![v6(SILENT), v4(OPEN)];
        let deadline = Instant::now() + BUDGET;
        let ended = spawn(async move {
            let mut race = Race::new(addresses, Pace::new(Some(rules())), deadline, dial)
                .with_late(None::<NoLate>, deadline);
            matches!(poll_fn(|cx| race.poll(cx)).await, Err(Lost::Ended(_)))
        });
        assert!(ended.await.expect("no panic"));
    });
}
