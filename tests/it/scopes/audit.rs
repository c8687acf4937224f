//! What waits, as the audit lists it.

use super::*;

use punctual::Wait;

#[track_caller]
fn only<'a>(waits: &'a [Wait], what: &str, scope: Option<&str>) -> &'a Wait {
    let mut found = waits.iter().filter(|wait| wait.what() == what && wait.scope() == scope);
    match (found.next(), found.next()) {
        (Some(wait), None) => wait,
        other => panic!("{what} in {scope:?}: {other:?} of {waits:#?}"),
    }
}

#[test]
fn the_audit_lists_what_waits_until_when_and_what_has_no_deadline() {
    let (runtime, clock, near, far) = silent();
    let began = clock.now();
    let (silent_line, task_line) = (line!() + 4, line!() + 7);
    let (token, other) = (near.io.token(), far.io.token());
    let (reading, writing) = (near.clone(), Rc::new(far));
    let reads = writing.clone();
    let silent = runtime.spawn(async move { reads.read_byte().await });
    run(&runtime);
    clock.advance(MS);
    run(&runtime);
    let scoped = runtime.spawn(async move {
        scope("request", 50 * MS, async |outer| {
            let reading = reading.clone();
            reading.io.set_timeout(Direction::Read, Some(20 * MS)).expect("open");
            outer.spawn(async move { reading.read_byte().await });
            outer.spawn(async { sleep(10 * MS).await });
            scope("upstream", 30 * MS, async |_| in_scope(pending::<()>()).await).await
        })
        .await
    });
    run(&runtime);
    let waits = runtime.waits();
    assert_eq!(waits.len(), 4, "{waits:#?}");

    let unbounded: Vec<&Wait> = waits.iter().filter(|wait| wait.has_no_deadline()).collect();
    let [found] = unbounded[..] else { panic!("{unbounded:?}") };
    assert_eq!((found.what(), found.token(), found.scope()), ("read", Some(other), None));
    assert_eq!(found.task().map(|task| task.spawned_at.line()), Some(silent_line));
    assert!(found.since() >= began && found.since() < clock.now());
    let said = found.to_string();
    assert!(said.starts_with("read on Token(") && said.contains(" for 1"), "{said}");
    assert!(said.contains(", WITHOUT A DEADLINE, by the task spawned at "), "{said}");

    let at = began + MS;
    let read = only(&waits, "read", Some("request"));
    assert_eq!(
        (read.token(), read.deadline()),
        (Some(token), Some(at + 20 * MS)),
        "its own comes first"
    );
    assert_eq!(only(&waits, "sleep", Some("request")).deadline(), Some(at + 10 * MS));
    let wait = only(&waits, "wait", Some("request/upstream"));
    assert_eq!((wait.token(), wait.deadline()), (None, Some(at + 30 * MS)), "that of its scope");
    assert_eq!(wait.task().map(|task| task.spawned_at.line()), Some(task_line + 1));
    let said = wait.to_string();
    assert!(
        said.contains("until 30ms from now by scope \"upstream\", in request/upstream, by the task"),
        "{said}"
    );

    // Another thread has the loop ask.
    let handle = runtime.handle();
    let (tell, told) = std::sync::mpsc::channel();
    let asking = std::thread::spawn(move || {
        handle.call(move || tell.send(punctual::waits()).expect("somebody listens")).expect("room");
        told.recv_timeout(PATIENCE).expect("an answer").len()
    });
    while !asking.is_finished() {
        run(&runtime);
    }
    assert_eq!(asking.join().expect("no panic"), 4);

    clock.advance(60 * MS);
    run(&runtime);
    end_of(&runtime, scoped).expect("all returned").expect("returned").expect_err("too long");
    assert_eq!(runtime.waits().len(), 1, "what has ended waits no more");
    silent.abort();
    drop(near);
    drop(writing);
    assert_baseline(&runtime);
}

#[test]
fn every_operation_of_one_side_is_listed_with_its_own_deadline() {
    let (runtime, clock, near, _far) = silent();
    let mut tasks = Vec::new();
    for timeout in [Some(10 * MS), None, Some(30 * MS)] {
        near.io.set_timeout(Direction::Read, timeout).expect("open");
        let reading = near.clone();
        tasks.push(runtime.spawn(async move { reading.read_byte().await }));
        run(&runtime);
    }
    let now = clock.now();
    let mut deadlines: Vec<_> = runtime.waits().iter().map(|wait| wait.deadline()).collect();
    deadlines.sort();
    assert_eq!(deadlines, [None, Some(now + 10 * MS), Some(now + 30 * MS)]);
    near.io.cancel("enough");
    run(&runtime);
    assert_eq!(runtime.waits().len(), 0);
    for task in tasks {
        end_of(&runtime, task).expect_err("cancelled");
    }
}

#[test]
fn a_remote_join_awaited_on_a_loop_is_listed_there_until_it_is_dropped_anywhere() {
    let (other, _) = virtual_runtime();
    let handle = other.handle();
    let (runtime, _clock) = virtual_runtime();
    let mut join = handle.spawn(pending::<()>).expect("room");
    runtime.block_on(async {
        assert!(poll_once(&mut join).is_pending());
        assert_eq!(waits().len(), 1);
        let waits = waits();
        assert_eq!(
            (waits[0].what(), waits[0].task().map(|task| task.id.is_main())),
            ("join", Some(true))
        );
    });
    std::thread::spawn(move || drop(join)).join().expect("no panic");
    run(&runtime);
    assert_eq!(runtime.waits().len(), 0, "the other thread has had the loop forget it");
}

#[test]
fn a_remote_join_dropped_elsewhere_is_forgotten_also_if_the_inbox_is_full() {
    let (other, _) = virtual_runtime();
    let (runtime, _clock) = virtual_runtime();
    let mut join = other.handle().spawn(pending::<()>).expect("room");
    runtime.block_on(async { assert!(poll_once(&mut join).is_pending()) });
    assert_eq!(runtime.waits().len(), 1);
    let handle = runtime.handle();
    while handle.call(|| {}).is_ok() {}
    std::thread::spawn(move || drop(join)).join().expect("no panic");
    for _ in 0..100 {
        run(&runtime);
    }
    assert_eq!(runtime.waits().len(), 0);
    handle.call(|| {}).expect("there is room again");
}
