//! How the cores start, and what they are given.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use punctual::{CoreError, CoreFailure, PerCore, Runtime, per_core, sleep};
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::{MS, alone};

fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("the CPUs of this thread");
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

#[test]
fn results_come_in_the_order_of_the_cores_whoever_is_first() {
    let _alone = alone("results in order");
    let results = per_core(3, |core| async move {
        assert_eq!(core.count(), 3);
        // The last core returns first.
        sleep(20 * MS * (3 - core.index() as u32)).await;
        Ok::<_, Infallible>((core.index(), std::thread::current().name().map(str::to_owned)))
    });
    let expected: Vec<_> = (0..3).map(|core| (core, Some(format!("core {core}")))).collect();
    assert_eq!(results.expect("none can fail"), expected);
}

#[test]
fn each_thread_is_pinned_to_one_cpu_unless_that_is_turned_off() {
    let _alone = alone("pinning");
    let all = cpus();
    let main = |core: punctual::Core| async move { Ok::<_, Infallible>((core.cpu(), cpus())) };
    let pinned = per_core(2, main).expect("none can fail");
    for (index, (cpu, mine)) in pinned.iter().enumerate() {
        assert_eq!(*cpu, Some(all[index % all.len()]), "{pinned:?} of {all:?}");
        assert_eq!(mine.as_slice(), [all[index % all.len()]], "{pinned:?} of {all:?}");
    }
    let free = PerCore::new(2).pin(false).run(main).expect("none can fail");
    assert!(free.iter().all(|(cpu, mine)| cpu.is_none() && *mine == all), "{free:?} of {all:?}");
    assert_eq!(cpus(), all, "the thread that started them was not pinned itself");
}

#[test]
fn no_cores_are_as_many_as_there_are() {
    let _alone = alone("all cores");
    let counts = per_core(0, |core| async move { Ok::<_, Infallible>(core.count()) });
    let usable = std::thread::available_parallelism().expect("known here").get();
    assert_eq!(counts.expect("none can fail"), vec![usable; usable]);
}

#[test]
fn a_core_that_cannot_be_started_keeps_all_from_running() {
    let _alone = alone("a failed start");
    let ran = Arc::new(AtomicUsize::new(0));
    let attempt = |what: fn() -> punctual::Builder| -> CoreError<Infallible> {
        let ran = ran.clone();
        let choices = PerCore::new(3);
        let choices = choices.runtime(move |core| if core == 1 { what() } else { Runtime::builder() });
        let failed = choices.run(move |_| {
            ran.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        failed.expect_err("core 1 has no runtime")
    };
    let error = attempt(|| Runtime::builder().blocking_threads(0));
    assert_eq!(error.core(), 1);
    assert!(matches!(error.failure(), CoreFailure::Start(_)), "{error:?}");
    assert!(error.to_string().starts_with("core 1: cannot be started: blocking_threads"), "{error}");
    let error = attempt(|| panic!("no builder"));
    assert_eq!(
        (error.core(), error.to_string().as_str()),
        (1, "core 1: cannot be started: its runtime's builder panicked")
    );
    assert_eq!(ran.load(Ordering::SeqCst), 0, "a main was run");
}

#[test]
fn a_core_reaches_the_runtime_of_another() {
    let _alone = alone("across cores");
    let names = per_core(2, |core| async move {
        let other = core.cores().runtime(1 - core.index()).expect("the other").clone();
        let name = || async { std::thread::current().name().map(str::to_owned) };
        let asked = other.spawn(name).expect("room for a task").await.expect("it ran");
        // The other one asks too: it is not to be gone by then.
        sleep(100 * MS).await;
        assert!(core.cores().runtime(2).is_none());
        Ok::<_, Infallible>(asked)
    });
    assert_eq!(names.expect("none fails"), [Some("core 1".to_owned()), Some("core 0".to_owned())]);
}
