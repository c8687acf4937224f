//! The tree of scopes against a slow twin that does what the documentation says, node by node.

use super::*;

use std::collections::{BTreeMap, VecDeque};

/// What ended something, in words that can be compared.
type Said = String;

#[derive(Clone)]
enum Command {
    Open { child: usize, is_shield: bool, within: Option<Duration> },
    Wait { on_source: bool },
    DropChild(usize),
    Close,
}

/// One that has been begun and is not over.
#[derive(Clone)]
struct Node {
    parent: Option<usize>,
    is_shield: bool,
    name: String,
    deadline: Option<Instant>,
    end: Option<Said>,
    waits: usize,
}

#[derive(Default)]
struct Twin {
    nodes: BTreeMap<usize, Node>,
    /// What ended in this step.
    log: Vec<(usize, Said)>,
}

impl Twin {
    fn children(&self, of: usize) -> Vec<usize> {
        self.nodes.iter().filter(|(_, node)| node.parent == Some(of)).map(|(id, _)| *id).collect()
    }

    fn end(&mut self, id: usize, said: &str) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.end.is_none()) else { return };
        node.end = Some(said.to_owned());
        let waits = std::mem::take(&mut node.waits);
        self.log.extend(std::iter::repeat_n((id, said.to_owned()), waits));
        for child in self.children(id) {
            if !self.nodes[&child].is_shield {
                self.end(child, said);
            }
        }
    }

    fn open(&mut self, parent: Option<usize>, id: usize, is_shield: bool, deadline: Option<Instant>) {
        let end = parent.filter(|_| !is_shield).and_then(|parent| self.nodes[&parent].end.clone());
        let name = if is_shield { "shield".into() } else { format!("n{id}") };
        self.nodes.insert(id, Node { parent, is_shield, name, deadline, end, waits: 0 });
    }

    fn wait(&mut self, id: usize) {
        match self.nodes.get_mut(&id).expect("it is there") {
            Node { end: Some(end), .. } => self.log.push((id, end.clone())),
            node => node.waits += 1,
        }
    }

    fn remove(&mut self, id: usize) {
        self.children(id).into_iter().for_each(|child| self.remove(child));
        self.nodes.remove(&id);
    }

    /// The earliest deadline that holds, and whose it is: the outer's, if they are equal.
    fn holds(&self, id: usize) -> Option<(Instant, usize)> {
        let node = &self.nodes[&id];
        let own = node.deadline.map(|at| (at, id));
        let around = node.parent.filter(|_| !node.is_shield).and_then(|parent| self.holds(parent));
        match (own, around) {
            (Some(own), Some(around)) => Some(if own.0 < around.0 { own } else { around }),
            (own, around) => own.or(around),
        }
    }

    fn has_timer(&self, id: usize) -> bool {
        self.nodes[&id].end.is_none() && self.holds(id).is_some_and(|(_, whose)| whose == id)
    }

    fn advance(&mut self, now: Instant) {
        let mut due: Vec<_> = self.nodes.keys().filter(|id| self.has_timer(**id)).collect();
        due.retain(|id| self.nodes[id].deadline.is_some_and(|at| at <= now));
        due.sort_by_key(|id| self.nodes[id].deadline);
        for id in due.into_iter().copied().collect::<Vec<_>>() {
            let (name, at) = (self.nodes[&id].name.clone(), self.nodes[&id].deadline);
            self.end(id, &elapsed(&name, at.expect("it has one")));
        }
    }

    fn holds_a_shield(&self, id: usize) -> bool {
        self.children(id).into_iter().any(|child| {
            let node = &self.nodes[&child];
            node.is_shield && node.end.is_none() || self.holds_a_shield(child)
        })
    }

    /// Those that have ended and wait for no shield are over.
    fn settle(&mut self) {
        let ids: Vec<usize> = self.nodes.keys().rev().copied().collect();
        // Children have higher numbers than their parents.
        for id in ids {
            let end = self.nodes[&id].end.clone();
            if let Some(end) = end.filter(|_| !self.holds_a_shield(id)) {
                self.remove(id);
                self.log.push((id, end));
            }
        }
    }

    fn path(&self, id: usize) -> String {
        let node = &self.nodes[&id];
        match node.parent {
            Some(parent) => format!("{}/{}", self.path(parent), node.name),
            None => node.name.clone(),
        }
    }
}

fn elapsed(name: &str, deadline: Instant) -> Said {
    format!("deadline of {name} at {deadline:?}")
}

fn of_end(end: &ScopeEnd) -> Said {
    match end {
        ScopeEnd::Elapsed(end) => {
            assert!(end.fired >= end.deadline, "early");
            elapsed(end.of.name(), end.deadline)
        }
        ScopeEnd::Cancelled(cause) => format!("{cause} of {}", cause.scope().expect("a scope's")),
        other => panic!("{other:?}"),
    }
}

fn of_failure(failure: &Failure) -> Said {
    match failure {
        Failure::Cancelled(cause) => format!("{cause} of {}", cause.scope().expect("a scope's")),
        failure => {
            let (name, at) = elapsed_of_scope(failure);
            elapsed(&name, at)
        }
    }
}

/// The real tree: bodies that do as they are told.
struct World {
    source: Rc<Wire>,
    commands: RefCell<BTreeMap<usize, VecDeque<Command>>>,
    scopes: RefCell<BTreeMap<usize, Scope>>,
    log: RefCell<Vec<(usize, Said)>>,
    waker: RefCell<Option<Waker>>,
}

impl World {
    fn tell(&self, id: usize, command: Command) {
        self.commands.borrow_mut().entry(id).or_default().push_back(command);
        self.waker.borrow().iter().for_each(Waker::wake_by_ref);
    }

    fn next(&self, id: usize) -> Option<Command> {
        self.commands.borrow_mut().get_mut(&id)?.pop_front()
    }

    fn child(self: &Rc<World>, id: usize, is_shield: bool, within: Option<Duration>) -> Boxed<Said> {
        let world = self.clone();
        let over = |end: &ScopeEnd| of_end(end);
        if is_shield {
            let bound = within.expect("a shield has a bound");
            let shielded = shield(bound, body(world, id));
            return Box::pin(async move {
                shielded.await.map_or_else(|end| over(&end), |()| "done".to_owned())
            });
        }
        let limit = within.map_or(punctual::Limit::Unbounded, punctual::Limit::Within);
        let opened = scope(format!("n{id}"), limit, async move |scope| {
            world.scopes.borrow_mut().insert(id, scope.clone());
            body(world, id).await;
        });
        Box::pin(async move {
            match opened.await {
                Ok(()) => "done".to_owned(),
                Err(error) => over(error.end().expect("it ended")),
            }
        })
    }
}

/// The body of a scope or of a shield; nobody polls what is in it but this.
fn body(world: Rc<World>, id: usize) -> Boxed<()> {
    let mut children: Vec<(usize, Boxed<Said>)> = Vec::new();
    let mut waits: Vec<Boxed<Result<(), Failure>>> = Vec::new();
    Box::pin(poll_fn(move |cx| {
        let before = world.waker.replace(Some(cx.waker().clone()));
        drop(before);
        while let Some(command) = world.next(id) {
            match command {
                Command::Open { child, is_shield, within } => {
                    children.push((child, world.child(child, is_shield, within)));
                }
                Command::Wait { on_source: true } => {
                    let source = world.source.clone();
                    waits.push(Box::pin(async move { source.read_byte().await.map(drop) }));
                }
                Command::Wait { on_source: false } => waits.push(Box::pin(in_scope(pending()))),
                Command::DropChild(child) => children.retain(|(id, _)| *id != child),
                Command::Close => return Poll::Ready(()),
            }
        }
        waits.retain_mut(|wait| match wait.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                let failure = result.expect_err("nothing comes");
                world.log.borrow_mut().push((id, of_failure(&failure)));
                false
            }
        });
        children.retain_mut(|(child, future)| match future.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(said) => {
                world.log.borrow_mut().push((*child, said));
                false
            }
        });
        Poll::Pending
    }))
}

/// The twin and the tree must have ended the same, for the same reasons, and hold the same.
fn compare(twin: &mut Twin, world: &World, runtime: &Runtime, step: &str) {
    let (mut expected, mut found) = (std::mem::take(&mut twin.log), world.log.take());
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "ended in {step}");
    let metrics = runtime.metrics();
    assert_eq!(metrics.live_scopes, twin.nodes.len(), "scopes after {step}");
    let timers = twin.nodes.keys().filter(|id| twin.has_timer(**id)).count();
    assert_eq!(metrics.live_wheel_entries, timers, "deadlines in the wheel after {step}");
    for (id, node) in &twin.nodes {
        if let Some(scope) = world.scopes.borrow().get(id) {
            assert_eq!(scope.end().as_ref().map(of_end), node.end, "the end of {id} after {step}");
            assert_eq!(scope.deadline(), twin.holds(*id).map(|(at, _)| at), "of {id} after {step}");
        }
    }
    let waits = runtime.waits();
    // The bodies wait for the test's own commands, which the runtime knows nothing of.
    let known = waits.iter().filter(|wait| wait.what() != "unknown");
    let mut found: Vec<_> =
        known.map(|wait| (wait.scope().map(str::to_owned), wait.deadline())).collect();
    let mut expected = Vec::new();
    for (id, node) in &twin.nodes {
        let wait = (Some(twin.path(*id)), twin.holds(*id).map(|(at, _)| at));
        expected.extend(std::iter::repeat_n(wait, node.waits));
    }
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "waits after {step}");
}

/// One random step on both. Returns what it was.
fn step(random: &mut fastrand::Rng, twin: &mut Twin, world: &World, clock: &VirtualClock) -> String {
    let ids: Vec<usize> = twin.nodes.keys().copied().collect();
    // The newer ones are deeper in the tree: they are taken more often.
    let id = ids[random.usize(..ids.len()).max(random.usize(..ids.len()))];
    let pause = |random: &mut fastrand::Rng| random.u32(..12) * MS;
    match random.u32(..100) {
        0..35 => {
            let child = world.commands.borrow().len() + 1;
            world.commands.borrow_mut().insert(child, VecDeque::new());
            let is_shield = random.u32(..4) == 0;
            let within = (is_shield || random.bool()).then(|| random.u32(..40) * MS);
            let deadline = within.map(|within| clock.now() + within);
            world.tell(id, Command::Open { child, is_shield, within });
            twin.open(Some(id), child, is_shield, deadline);
            format!("open {child} in {id}, shield: {is_shield}, {within:?}")
        }
        35..60 => {
            let on_source = random.bool();
            world.tell(id, Command::Wait { on_source });
            twin.wait(id);
            format!("wait in {id}, on a source: {on_source}")
        }
        60..75 => {
            clock.advance(pause(random));
            "advance".to_owned()
        }
        75..90 => {
            let Some(scope) = world.scopes.borrow().get(&id).cloned() else { return "nothing".into() };
            let (from_afar, pause) = (random.bool(), pause(random));
            let cause = format!("cause {}", random.u16(..));
            if from_afar {
                scope.canceller().cancel(cause.clone()).expect("room");
            } else {
                scope.cancel(cause.clone());
            }
            // What is due in the same turn comes second.
            clock.advance(pause);
            let name = twin.nodes[&id].name.clone();
            twin.end(id, &format!("{cause} of {name}"));
            format!("cancel {id}, from afar: {from_afar}, and {pause:?}")
        }
        _ if id == 0 => "nothing".to_owned(),
        90..95 => {
            world.tell(id, Command::Close);
            twin.remove(id);
            twin.log.push((id, "done".to_owned()));
            format!("close {id}")
        }
        _ => {
            let parent = twin.nodes[&id].parent.expect("not the outermost");
            world.tell(parent, Command::DropChild(id));
            twin.remove(id);
            format!("drop {id}")
        }
    }
}

/// Random steps on one tree until its outermost scope is over.
fn one_tree(random: &mut fastrand::Rng, steps: usize) -> usize {
    let (runtime, clock, source, far) = silent();
    let world = Rc::new(World {
        source,
        commands: RefCell::default(),
        scopes: RefCell::default(),
        log: RefCell::default(),
        waker: RefCell::default(),
    });
    let mut twin = Twin::default();
    twin.open(None, 0, false, None);
    let outermost = world.clone();
    let task = runtime.spawn(async move {
        let said = outermost.child(0, false, None).await;
        outermost.log.borrow_mut().push((0, said));
    });
    run(&runtime);
    let mut most = 0;
    for number in 0..steps {
        let what = step(random, &mut twin, &world, &clock);
        twin.advance(clock.now());
        twin.settle();
        run(&runtime);
        compare(&mut twin, &world, &runtime, &format!("step {number}, {what}"));
        most = most.max(twin.nodes.len());
        if twin.nodes.is_empty() {
            break;
        }
    }
    task.abort();
    run(&runtime);
    world.scopes.take();
    let waker = world.waker.take();
    drop((waker, world, far));
    assert_baseline(&runtime);
    most
}

#[test]
fn k07_the_tree_does_what_a_slow_twin_does() {
    for seed in seeds(&[1, 2, 3]) {
        println!("PUNCTUAL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let sizes: Vec<usize> = (0..60).map(|_| one_tree(&mut random, 120)).collect();
        let largest = sizes.iter().max().copied().unwrap_or_default();
        println!("{} trees of up to {largest} nodes at a time", sizes.len());
        assert!(largest >= 10, "trees that small show nothing: {sizes:?}");
    }
}
