//! Whose samples they are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use punctual::profile::{Place, SpanLayer};
use punctual::{spawn, spawn_named, yield_now};
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    alone, assert_no_less, assert_share, burn, burn_otherwise, enough, is_named, margin, of_line,
    profiled, samples,
};
use crate::support::{MS, US, seeds};

/// So that nothing marches in step with the kernel's ticks.
fn chunk(random: &mut fastrand::Rng) -> Duration {
    random.u32(100..700) * US
}

#[test]
fn two_tasks_that_do_the_same_are_told_apart_as_the_clock_does() {
    alone("labels::two_tasks_that_do_the_same_are_told_apart_as_the_clock_does", || {
        let seed = seeds(&[4])[0];
        let (hash, copy) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(Duration::ZERO)));
        let total = {
            let (hash, copy) = (hash.clone(), copy.clone());
            move || hash.get() + copy.get()
        };
        let (profile, ()) = profiled(async {
            let (used, done) = (hash.clone(), enough());
            let mut random = fastrand::Rng::with_seed(seed);
            let hash = spawn_named("hash", async move {
                while !done() {
                    burn(3 * chunk(&mut random), &used);
                    yield_now().await;
                }
            });
            let (used, done) = (copy.clone(), enough());
            let mut random = fastrand::Rng::with_seed(seed + 1);
            let copy = spawn_named("copy", async move {
                while !done() {
                    burn(chunk(&mut random), &used);
                    yield_now().await;
                }
            });
            hash.await.expect("it ends");
            copy.await.expect("it ends");
        });
        let shares = profile.by_label();
        shares.iter().for_each(|share| println!("{share}"));
        println!("seed {seed}; {profile:?}");
        let of_hash = samples(&shares, |share| is_named(share, "hash"));
        let of_copy = samples(&shares, |share| is_named(share, "copy"));
        let measured = hash.get().as_secs_f64() / total().as_secs_f64();
        assert!((0.6..0.9).contains(&measured), "the tasks were to use 3/4 and 1/4: {measured}");
        assert_share("hash", of_hash, of_hash + of_copy, measured);
        // And of all there is: by the process' clock, and by the signals.
        let of_cpu = total().as_secs_f64() / profile.cpu().as_secs_f64();
        assert!((0.5..1.0).contains(&of_cpu), "of the process' time, that of the tasks: {of_cpu}");
        assert_no_less("both", of_hash + of_copy, profile.samples() + profile.lost(), of_cpu);
        // The CPU time it is said to have used, against what it did.
        let of_hash = shares.iter().filter(|share| is_named(share, "hash"));
        let told =
            of_hash.map(|share| share.cpu.as_secs_f64()).sum::<f64>() / profile.cpu().as_secs_f64();
        let did = hash.get().as_secs_f64() / profile.cpu().as_secs_f64();
        let margin = margin(profile.samples() + profile.lost(), did);
        assert!((told - did).abs() <= margin, "hash used {did:.3} of the CPU time, not {told:.3}");
    });
}

#[test]
fn two_requests_of_one_task_are_told_apart_by_their_spans() {
    alone("labels::two_requests_of_one_task_are_told_apart_by_their_spans", || {
        let subscriber = tracing_subscriber::registry().with(SpanLayer::new());
        tracing::subscriber::set_global_default(subscriber).expect("the first of this process");
        let used = [Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(Duration::ZERO))];
        let seed = seeds(&[5])[0];
        let mut random = fastrand::Rng::with_seed(seed);
        let (profile, line) = profiled(async {
            let (requests, done) = (used.clone(), enough());
            let line = line!() + 1;
            let server = spawn(async move {
                let connection = info_span!("connection", peer = "127.0.0.1:9");
                while !done() {
                    for (id, used) in requests.iter().enumerate() {
                        let request = info_span!(parent: &connection, "request", id = id + 1);
                        let serve = async {
                            for _ in 0..=2 * id {
                                burn(chunk(&mut random), used);
                                yield_now().await;
                            }
                        };
                        serve.instrument(request).await;
                    }
                }
            });
            server.await.expect("it ends");
            line
        });
        let shares = profile.by_label();
        shares.iter().for_each(|share| println!("{share}"));
        println!("seed {seed}; {profile:?}");
        let of = |request: &str| {
            let path = ["connection{peer=127.0.0.1:9}", request];
            samples(&shares, |share| of_line(share, line) && share.spans == path)
        };
        let (first, second) = (of("request{id=1}"), of("request{id=2}"));
        let measured = used[0].get().as_secs_f64() / (used[0].get() + used[1].get()).as_secs_f64();
        assert_share("request 1", first, first + second, measured);
        let of_cpu = (used[0].get() + used[1].get()).as_secs_f64() / profile.cpu().as_secs_f64();
        assert_no_less("both", first + second, profile.samples() + profile.lost(), of_cpu);
    });
}

#[test]
fn what_is_no_task_is_told_as_what_it_is() {
    alone("labels::what_is_no_task_is_told_as_what_it_is", || {
        let subscriber = tracing_subscriber::registry().with(SpanLayer::new());
        tracing::subscriber::set_global_default(subscriber).expect("the first of this process");
        let on_main = Cell::new(Duration::ZERO);
        let (profile, beside) = profiled(async {
            // By turns, never both at once, and each many times: the kernel's timer is one for all threads and need not be fair between two
            // that run at once, nor take as many samples a second when others have the processor.
            let (to_thread, turns) = channel::<()>();
            let (to_main, done_turns) = channel::<()>();
            let beside = std::thread::Builder::new().name("beside".to_owned()).spawn(move || {
                let used = Cell::new(Duration::ZERO);
                let batch = info_span!("batch", kind = "nightly; full").entered();
                while turns.recv().is_ok() {
                    burn_otherwise(2 * MS, &used);
                    to_main.send(()).expect("main waits for it");
                }
                drop(batch);
                used.get()
            });
            let done = enough();
            while !done() {
                burn(2 * MS, &on_main);
                to_thread.send(()).expect("the thread waits for it");
                done_turns.recv().expect("the thread answers");
                yield_now().await;
            }
            drop(to_thread);
            beside.expect("a thread").join().expect("it ends")
        });
        let shares = profile.by_label();
        shares.iter().for_each(|share| println!("{share}"));
        println!("{profile:?}");
        let all = profile.samples() + profile.lost();
        let of_main = samples(&shares, |share| share.place == Place::Main && share.spans.is_empty());
        let of_cpu = |used: Duration| used.as_secs_f64() / profile.cpu().as_secs_f64();
        assert_no_less("the main future", of_main, all, of_cpu(on_main.get()));
        let of_thread = samples(&shares, |share| {
            share.thread == "beside"
                && share.place == Place::Outside
                && share.spans == ["batch{kind=nightly; full}"]
        });
        assert_no_less("the thread beside", of_thread, all, of_cpu(beside));
    });
}
