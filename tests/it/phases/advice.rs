//! Advice from waits that really were, held against what the test itself has measured.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream as Blocking};
use std::time::Duration;

use punctual::net::TcpStream;
use punctual::{Advice, AdviceOptions, PhaseAdvice, PhaseQuantile, Runtime, Verdict, advise};

use super::*;
use crate::support::{now_ns, watchdog};

/// A server that answers each byte after so many milliseconds, with when it did so. It ends with its connections.
fn slow_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            std::thread::spawn(move || serve(connection));
        }
    });
    address
}

fn serve(mut connection: Blocking) {
    let mut delay = [0];
    while connection.read_exact(&mut delay).is_ok() {
        std::thread::sleep(u32::from(delay[0]) * MS);
        if connection.write_all(&now_ns().to_ne_bytes()).is_err() {
            return;
        }
    }
}

/// What the test knows of a wait, in nanoseconds: it took no less and no more.
#[derive(Clone, Copy, Debug)]
struct Measured {
    least: u64,
    most: u64,
}

/// Asks for an answer after `delay` milliseconds, and waits for it. `None` if it timed out; nothing is measured if
/// the answer was there before it was waited for.
async fn ask(stream: &TcpStream, delay: u8, measured: &RefCell<Vec<Measured>>) -> Option<()> {
    stream.write_all(&[delay]).await.expect("room");
    let mut answer = [0; 8];
    let before = now_ns();
    let pending_at = Cell::new(None);
    let result = {
        let mut reading = pin!(stream.read_exact(&mut answer));
        poll_fn(|cx| {
            let poll = reading.as_mut().poll(cx);
            if poll.is_pending() && pending_at.get().is_none() {
                pending_at.set(Some(now_ns()));
            }
            poll
        })
        .await
    };
    let after = now_ns();
    match result {
        Ok(()) => {
            let answered = u64::from_ne_bytes(answer);
            // It began before it was found pending, and was over after the answer had been sent.
            let of = |at| Measured { least: answered.saturating_sub(at), most: after - before };
            measured.borrow_mut().extend(pending_at.get().map(of));
            Some(())
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Timeout, "{error}");
            None
        }
    }
}

/// The longest of `durations` that no more than one in a hundred exceeds.
fn p99(durations: impl Iterator<Item = u64>) -> Duration {
    let mut sorted: Vec<u64> = durations.collect();
    sorted.sort_unstable();
    Duration::from_nanos(sorted[(sorted.len() * 99).div_ceil(100) - 1])
}

fn on_reads(runtime: &Runtime) -> PhaseAdvice {
    // A busy machine makes all of it longer: useless is what no machine takes.
    let options = AdviceOptions::new().quantile(0.99).useless_from(10_000.0);
    let advice = Advice::of(&runtime.phases(), &options).expect("sensible options");
    println!("{advice}");
    advice.phases.into_iter().find(|phase| phase.phase == "read").expect("there were reads")
}

#[test]
fn o8_a_loopback_server_s_delays_make_a_deadline_fine_or_useless() {
    let _watchdog = watchdog("advice on a healthy server", PATIENCE / 10);
    let (runtime, server) = (Runtime::new().expect("a runtime"), slow_server());
    let measured = Rc::new(RefCell::new(Vec::new()));
    let year = Duration::from_secs(365 * 24 * 3600);
    let limits = [Some(Duration::from_secs(10)), Some(year), None];
    runtime.block_on(async {
        let clients = (0..12usize).map(|client| {
            let measured = measured.clone();
            spawn(async move {
                let stream = TcpStream::connect(server).await.expect("connected");
                stream.set_read_timeout(limits[client % 3]).expect("open");
                for turn in 0..40 {
                    let delay = (client * 7 + turn) % 10 + 1;
                    ask(&stream, delay as u8, &measured).await.expect("an answer in time");
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no panic");
        }
    });
    let (advice, measured) = (on_reads(&runtime), measured.borrow());
    assert_eq!((advice.done, advice.timed_out), (measured.len() as u64, 0));
    let (least, most) =
        (p99(measured.iter().map(|wait| wait.least)), p99(measured.iter().map(|wait| wait.most)));
    let PhaseQuantile::Known(found) = advice.quantile else { panic!("{advice:?}") };
    assert!(least <= found && found <= most + most / 32, "{found:?} is not in {least:?} to {most:?}");
    let proposal = advice.proposal.expect("enough samples");
    assert!(proposal >= 2 * least, "{proposal:?} of {least:?}");
    let verdicts: Vec<_> = advice.budgets.iter().map(|budget| (budget.budget, budget.verdict)).collect();
    let exactly = |limit: Option<Duration>| limit.map(|limit| (limit, limit));
    let expected = [Verdict::Fine, Verdict::Useless, Verdict::Useless];
    assert_eq!(verdicts, limits.map(exactly).into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!(advice.budgets.iter().map(|budget| budget.counts.count).sum::<u64>(), advice.done);
}

#[test]
fn o8_a_deadline_that_a_loopback_server_misses_is_too_tight() {
    let _watchdog = watchdog("advice on an impatient client", PATIENCE / 10);
    let (runtime, server) = (Runtime::new().expect("a runtime"), slow_server());
    let timed_out = Rc::new(Cell::new(0));
    let measured = Rc::new(RefCell::new(Vec::new()));
    runtime.block_on(async {
        let clients = (0..10).map(|_| {
            let (timed_out, measured) = (timed_out.clone(), measured.clone());
            spawn(async move {
                for _ in 0..8 {
                    let stream = TcpStream::connect(server).await.expect("connected");
                    stream.set_read_timeout(Some(2 * MS)).expect("open");
                    if ask(&stream, 50, &measured).await.is_none() {
                        timed_out.set(timed_out.get() + 1);
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no panic");
        }
    });
    let advice = on_reads(&runtime);
    // On a machine that does not run us for 50 ms the answer is there when the deadline is looked at.
    assert_eq!((advice.done, advice.timed_out), (measured.borrow().len() as u64, timed_out.get()));
    let [budget] = &advice.budgets[..] else { panic!("{advice:?}") };
    assert_eq!((budget.budget, budget.verdict), (Some((2 * MS, 2 * MS)), Verdict::TooTight));
    assert_eq!(budget.counts.timed_out, timed_out.get());
    let record = runtime.phases().into_iter().find(|record| record.phase == "read").expect("known");
    assert_eq!(record.endings.count(PhaseEnding::Timeout(TimeoutBy::Idle)), timed_out.get());
    let shortest = record.cut_off.buckets().next().map(|(longest_of_it, _)| longest_of_it);
    assert!(shortest >= Some(2 * MS), "cut off early: {shortest:?}");
}

#[test]
fn o8_on_a_virtual_clock_advice_is_exact() {
    on_virtual_clock("advice", async |_| {
        let (near, far) = memory_pair();
        for (limit, count) in [(500 * MS, 3_000), (30 * MS + MS / 2, 40), (3600 * 1000 * MS, 10)] {
            near.set_read_timeout(Some(limit)).expect("open");
            for turn in 0..count {
                let asked = Instant::now();
                let takes = (turn % 40 + 1) * MS;
                let (read, ()) = zip(near.read_exact(&mut [0]), async {
                    sleep(takes).await;
                    far.write_all(b".").await.expect("room");
                })
                .await;
                let took = Instant::now() - asked;
                assert!(took >= takes.min(limit), "early: {took:?} of {takes:?}");
                if read.is_err() {
                    near.read_exact(&mut [0]).await.expect("it has come by now");
                }
            }
        }
        let advice = advise();
        let read = &advice.phases[0];
        assert_eq!((read.phase, read.done, read.timed_out), ("read", 3_040, 10));
        assert_eq!(read.quantile, PhaseQuantile::Known(40 * MS));
        assert_eq!(read.proposal, Some(80 * MS));
        let verdicts: Vec<_> = read.budgets.iter().map(|budget| budget.verdict).collect();
        assert_eq!(verdicts, [Verdict::TooTight, Verdict::Fine, Verdict::Useless], "{advice}");
    });
}
