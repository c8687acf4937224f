//! Tasks by name, and what each has cost.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use punctual::{
    PollEdge, Runtime, TaskInfo, TaskState, Unbounded, VirtualClock, current_task, scope,
    set_poll_observer, sleep, spawn, spawn_named, task_info, tasks, yield_now,
};

use crate::support::{MS, virtual_runtime};

fn named(name: &str) -> TaskInfo {
    let all = tasks();
    let found = all.iter().find(|task| task.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("no task {name:?} in {all:?}")).clone()
}

#[test]
fn b03_tasks_are_listed_by_name_and_place() {
    let (runtime, _clock) = virtual_runtime();
    let outside = runtime.spawn_named("outside", async { sleep(10 * MS).await });
    runtime.block_on(async {
        let here = std::panic::Location::caller();
        let plain = spawn(sleep(10 * MS));
        let dynamic = spawn_named(format!("shard {}", 7), sleep(10 * MS));
        let (line, file) = (here.line(), here.file());
        let all = tasks();
        let lines: Vec<_> =
            all.iter().map(|task| (task.name.as_deref(), task.spawned_at.line())).collect();
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[0].id.is_main() && all[0].state == TaskState::Running, "{all:?}");
        assert_eq!(lines[2..], [(None, line + 1), (Some("shard 7"), line + 2)]);
        assert!(all.iter().all(|task| task.spawned_at.file() == file && task.span.is_none()));
        assert_eq!(all[2].id, plain.id());
        assert_eq!(named("shard 7").state, TaskState::Queued);
        yield_now().await;
        assert_eq!(named("shard 7").state, TaskState::Waiting);
        let text = named("shard 7").to_string();
        assert_eq!(text, format!("task \"shard 7\" spawned at {file}:{}:23", line + 2));
        scope("work", Unbounded, async |scope| {
            let child = scope.spawn_named("a\nb", async {
                let id = current_task().expect("it is being polled");
                assert_eq!(task_info(id).expect("it lives").state, TaskState::Running);
                sleep(MS).await;
            });
            assert_eq!(named("a\nb").id, child.id());
            assert!(named("a\nb").to_string().starts_with("task \"a\\nb\" spawned at "));
        })
        .await
        .expect("no end");
        let id = dynamic.id();
        dynamic.await.expect("no panic");
        assert!(task_info(id).is_none(), "it is done");
        outside.await.expect("no panic");
        plain.await.expect("no panic");
        let next = spawn(async {});
        assert_ne!(next.id(), id, "no id is used twice");
        next.await.expect("no panic");
    });
    assert_eq!((runtime.tasks().len(), current_task()), (0, None));
}

/// Advances the clock in its polls by these times, one a poll.
async fn work(clock: VirtualClock, times: Vec<Duration>) {
    for time in times {
        clock.advance(time);
        yield_now().await;
    }
}

#[test]
fn b03_each_poll_is_accounted_to_its_task_to_the_nanosecond() {
    let (runtime, clock) = virtual_runtime();
    let (advance, stay) = (clock.clone(), Rc::new(Cell::new(false)));
    let hold = stay.clone();
    runtime.block_on(async move {
        drop(spawn_named("busy", async move {
            work(advance, vec![3 * MS, 7 * MS, 2 * MS]).await;
            poll_fn(|_| if hold.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        }));
        drop(spawn_named("fast", sleep(Duration::from_secs(1))));
        for _ in 0..5 {
            yield_now().await;
        }
        clock.advance(4 * MS);
        let busy = named("busy");
        assert_eq!((busy.polls, busy.busy, busy.longest_poll), (4, 12 * MS, 7 * MS));
        let fast = named("fast");
        assert_eq!((fast.polls, fast.busy, fast.longest_poll), (1, Duration::ZERO, Duration::ZERO));
        yield_now().await;
        let main = &tasks()[0];
        assert_eq!((main.polls, main.busy, main.longest_poll), (6, 4 * MS, 4 * MS));
    });
    assert_eq!(runtime.tasks().len(), 2, "they live on");
}

#[test]
fn b03_without_accounting_nothing_is_counted_and_everything_is_named() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).account_polls(false).build();
    runtime.expect("a runtime").block_on(async {
        drop(spawn_named("busy", async move {
            work(clock, vec![3 * MS; 3]).await;
            sleep(Duration::from_secs(1)).await;
        }));
        for _ in 0..5 {
            yield_now().await;
        }
        let busy = named("busy");
        assert_eq!((busy.polls, busy.busy, busy.longest_poll), (0, Duration::ZERO, Duration::ZERO));
        assert_eq!(busy.state, TaskState::Waiting);
    });
}

#[test]
fn b03_an_observer_sees_both_edges_of_every_poll() {
    let (runtime, _clock) = virtual_runtime();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let see = seen.clone();
    runtime.block_on(async {
        let unseen = spawn_named("unseen", async {});
        unseen.await.expect("no panic");
        set_poll_observer(Some(Rc::new(move |edge| {
            // The list of tasks can be asked from within.
            let name = match edge {
                PollEdge::Begin(id) | PollEdge::End(id) => task_info(id).map(|task| task.name),
            };
            see.borrow_mut().push((edge, name));
        })));
        let twice = spawn_named("twice", yield_now());
        let id = twice.id();
        twice.await.expect("no panic");
        set_poll_observer(None);
        spawn(async {}).await.expect("no panic");
        let seen = seen.borrow();
        let of_twice: Vec<_> = seen
            .iter()
            .filter(|(edge, _)| [PollEdge::Begin(id), PollEdge::End(id)].contains(edge))
            .cloned()
            .collect();
        let name = Some(Some("twice".to_owned()));
        let expected = [
            (PollEdge::Begin(id), name.clone()),
            (PollEdge::End(id), name.clone()),
            (PollEdge::Begin(id), name),
            (PollEdge::End(id), None),
        ];
        assert_eq!(of_twice, expected, "{seen:?}");
        // Nothing is polled within another poll.
        let mut polled = tasks()[0].id;
        for (edge, _) in &seen[1..] {
            match *edge {
                PollEdge::Begin(id) => polled = id,
                PollEdge::End(id) => assert_eq!(id, polled),
            }
        }
        assert!(matches!(seen[0].0, PollEdge::End(main) if main.is_main()), "{seen:?}");
    });
}
