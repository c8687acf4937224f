//! The thread of a core, from its start to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::core::Core;
use super::cores::Cores;
use super::error::{CoreError, CoreFailure, CorePanic};
use super::group::{CoresHandle, End, Group, LAST_WORDS};
use super::{PerCore, affinity};
use crate::{Handle, Runtime, SendError, sleep};

/// What a thread says once it has a runtime, or has not.
type Ready = (usize, io::Result<Handle>);

/// Starts a thread a core, and lets them run `main` once all have their runtimes.
pub(super) fn start<M, F, T, E>(
    choices: &PerCore,
    count: usize,
    main: Arc<M>,
) -> Result<Cores<T, E>, CoreError<E>>
where
    M: Fn(Core) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let group = Arc::new(Group::default());
    let usable = if choices.pin { affinity::usable() } else { Vec::new() };
    let (ready, all_ready) = channel();
    let (give, results) = channel();
    let (mut starts, mut threads) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut failed = None;
    for index in 0..count {
        // Dropped, it tells the thread that nothing is to be run.
        let (start, started) = channel();
        starts.push(start);
        let cpu = (!usable.is_empty()).then(|| usable[index % usable.len()]);
        let (main, choices, ready, give) = (main.clone(), choices.clone(), ready.clone(), give.clone());
        let thread = std::thread::Builder::new().name(format!("{} {index}", choices.name));
        let spawned = thread.spawn(move || {
            let Some((runtime, core)) = prepare(&choices, index, cpu, ready, &started) else { return };
            let _ends = Ends(core.cores().group.clone());
            let result = run(runtime, core, &*main, choices.grace);
            drop(main);
            // Nobody listens if the `Cores` were dropped.
            drop(give.send((index, result)));
        });
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                failed = Some(CoreError::new(index, CoreFailure::Start(error)));
                break;
            }
        }
    }
    drop(ready);
    let runtimes = match failed.map_or_else(|| runtimes(count, &all_ready), Err) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            // Those that have a runtime let it go, and nothing is left of them.
            drop(starts);
            threads.into_iter().for_each(|thread| drop(thread.join()));
            return Err(error);
        }
    };
    let handle = CoresHandle { group, runtimes };
    for start in starts {
        // It waits for this, and for nothing else.
        drop(start.send(handle.clone()));
    }
    Ok(Cores::new(handle, results))
}

/// The runtimes of all threads, once each has said whether it has one.
fn runtimes<E>(count: usize, all_ready: &Receiver<Ready>) -> Result<Arc<[Handle]>, CoreError<E>> {
    let mut runtimes: Vec<Option<Handle>> = vec![None; count];
    for (index, runtime) in all_ready {
        let runtime = runtime.map_err(|error| CoreError::new(index, CoreFailure::Start(error)))?;
        runtimes[index] = Some(runtime);
    }
    // A thread that has said nothing has panicked in the choices of the caller.
    if let Some(index) = runtimes.iter().position(Option::is_none) {
        let error = io::Error::other("its runtime's builder panicked");
        return Err(CoreError::new(index, CoreFailure::Start(error)));
    }
    Ok(runtimes.into_iter().flatten().collect())
}

/// Says that a core has ended, also if it panicked where nobody expects it.
struct Ends(Arc<Group>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// Pins this thread, builds its runtime, and waits for the others to have theirs.
fn prepare(
    choices: &PerCore,
    index: usize,
    cpu: Option<usize>,
    ready: Sender<Ready>,
    started: &Receiver<CoresHandle>,
) -> Option<(Runtime, Core)> {
    let cpu = cpu.filter(|cpu| affinity::pin(*cpu));
    let runtime = match (choices.runtime)(index).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(ready.send((index, Err(error))));
            return None;
        }
    };
    drop(ready.send((index, Ok(runtime.handle()))));
    // The starter waits until nobody can say anything any more.
    drop(ready);
    let cores = started.recv().ok()?;
    Some((runtime, Core::new(index, cpu, cores)))
}

/// Runs `main` to its end, or to that of its time; nothing of the runtime is left afterwards.
fn run<M, F, T, E>(runtime: Runtime, core: Core, main: &M, grace: Duration) -> Result<T, CoreFailure<E>>
where
    M: Fn(Core) -> F,
    F: Future<Output = Result<T, E>>,
{
    let index = core.index();
    let group = core.cores().group.clone();
    let handle = runtime.handle();
    let body = async {
        let mut main = pin!(main(core));
        let mut time_is_up = pin!(time_is_up(&group, &handle));
        poll_fn(|cx| match main.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(CoreFailure::Failed)),
            Poll::Pending => {
                time_is_up.as_mut().poll(cx).map(|end| Err(CoreFailure::Overran { within: end.within }))
            }
        })
        .await
    };
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(body)));
    let result = result.unwrap_or_else(|panic| Err(CoreFailure::Panicked(CorePanic::new(panic))));
    if result.is_err() {
        // Before the rest is dropped, which may take its time.
        group.failed(index);
        group.end(grace);
    }
    drop(runtime);
    result
}

/// Waits until this core is to end, shuts its runtime down at the end of its time, and waits for a bit longer.
async fn time_is_up(group: &Group, handle: &Handle) -> End {
    let mut end = group.asked_to_end(None).await;
    loop {
        let left = end.by.saturating_duration_since(Instant::now());
        let mut time = pin!(sleep(left));
        let mut earlier = pin!(group.asked_to_end(Some(end)));
        let changed = poll_fn(|cx| match earlier.as_mut().poll(cx) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending => time.as_mut().poll(cx).map(|()| None),
        });
        match changed.await {
            Some(earlier) => end = earlier,
            None => break,
        }
    }
    while let Err(SendError::Full(())) = handle.shutdown() {
        // The loop empties its inbox by turns, and makes room.
        sleep(Duration::from_millis(1)).await;
    }
    sleep(LAST_WORDS).await;
    end
}
