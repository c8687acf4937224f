//! The walk over all that waits.

use std::collections::{HashMap, HashSet};
use std::panic::Location;

use crate::arena::Id;
use crate::executor::{Driver, TaskId};
use crate::instant::Instant;
use crate::reactor::Reactor;
use crate::side::Side;
use crate::source::NEVER;
use crate::token::Token;
use crate::waiters::{Note, Poller};
use crate::waits::{Frame, Label, Subject, TimerLabel, Wait, WaitBound, WaitClass, WaitCounts, Waits};

/// One that waits, as it was found.
struct Found {
    label: Label,
    token: Option<Token>,
    subject: Option<Subject>,
    /// The earliest of its own bounds.
    own: Limit,
    note: Note,
    /// What it is the frame of.
    frame: Frame,
}

/// Until when, and by whose word.
#[derive(Clone)]
struct Limit {
    at_ns: u64,
    by: Option<WaitBound>,
}

impl Limit {
    const NONE: Limit = Limit { at_ns: NEVER, by: None };

    fn or_earlier(self, at_ns: u64, by: impl FnOnce() -> Option<WaitBound>) -> Limit {
        if at_ns < self.at_ns { Limit { at_ns, by: by() } } else { self }
    }
}

/// A frame that still stands.
#[derive(Clone, Copy)]
struct Standing {
    within: Frame,
    /// When it ends what is in it, if it does.
    until_ns: u64,
    set_at: Option<&'static Location<'static>>,
    /// What it is called, if it has a name.
    phase: Option<&'static str>,
}

/// All that waits, and what is around it.
struct Walk {
    found: Vec<Found>,
    frames: HashMap<Frame, Standing>,
}

impl Driver {
    pub(super) fn waits(&self) -> Waits {
        let now = self.clock.now();
        let walk = self.walk();
        let listed: Vec<_> = {
            let mut reactor = self.reactor.borrow_mut();
            let (frames, mut known) = (&walk.frames, HashMap::new());
            walk.listed().map(|found| (found, reactor.resolve(found, frames, &mut known))).collect()
        };
        // In words only now: a subject's may be anybody's code.
        let waits = listed.into_iter().map(|(found, resolved)| Wait {
            what: found.label.what,
            phase: walk.phase(found),
            subject: found.subject.as_ref().map(Subject::to_string),
            token: found.token,
            now,
            since: Instant::from_nanos(found.note.since_ns),
            bound: resolved.limit.by.map(|by| (Instant::from_nanos(resolved.limit.at_ns), by)),
            class: resolved.class,
            scope: found.note.scope.map(|scope| self.reactor.borrow_mut().scope_path(scope)),
            task: self.task_info(TaskId { id: found.note.poller.task, reactor: self.id }),
        });
        Waits { all: waits.collect() }
    }

    pub(crate) fn wait_counts(&self) -> WaitCounts {
        let walk = self.walk();
        let mut counts = WaitCounts::default();
        let mut reactor = self.reactor.borrow_mut();
        let mut known = HashMap::new();
        walk.listed()
            .for_each(|found| counts.add(reactor.resolve(found, &walk.frames, &mut known).class));
        drop(reactor);
        counts
    }

    fn walk(&self) -> Walk {
        let mut walk = Walk { found: Vec::new(), frames: HashMap::new() };
        for (_, other) in &*self.waits.borrow() {
            let (label, note, frame) = (other.label, other.note, other.frame);
            walk.found.push(Found {
                subject: other.subject.clone(),
                frame,
                ..Found::plain(label, note)
            });
            let phase = Some(label.what).filter(|what| *what != Label::UNNAMED);
            let within = note.poller.frame;
            walk.frames.insert(frame, Standing { within, until_ns: NEVER, set_at: None, phase });
        }
        let joins = self.tasks.joins.borrow();
        walk.found.extend(joins.listed().map(|join| Found {
            subject: Some(Subject::Task(join.spawned_at)),
            ..Found::plain(Label::idle("join"), join.note())
        }));
        drop(joins);
        for (_, (_, note)) in &*self.shutdown_waiters.borrow() {
            walk.found.extend(note.map(|note| Found::plain(Label::idle("shutdown"), note)));
        }
        let mut reactor = self.reactor.borrow_mut();
        reactor.found_on_sources(&mut walk.found);
        reactor.found_with_timers(&mut walk);
        reactor.found_in_scopes(&mut walk.found);
        let now_ns = reactor.now_ns;
        drop(reactor);
        // A task that is gone may have left an operation of the poll-based interface, which nobody gives up.
        walk.found.retain(|found| self.lives(found.note.poller.task));
        self.found_nowhere(&mut walk.found, now_ns);
        walk
    }

    /// The tasks that wait for nothing that the runtime knows, as for another runtime's channel.
    fn found_nowhere(&self, found: &mut Vec<Found>, now_ns: u64) {
        let tasks = found.iter().map(|found| found.note.poller.task);
        let known: HashSet<Id> = tasks.collect();
        let unknown = self.waiting_tasks().into_iter().filter(|(task, _)| !known.contains(task));
        found.extend(unknown.map(|(task, since_ns)| {
            let poller = Poller { task, frame: Frame::NONE };
            let since_ns = since_ns.unwrap_or(now_ns);
            let note = Note { since_ns, until_ns: NEVER, poller, scope: None };
            Found::plain(Label::new(Label::UNKNOWN), note)
        }));
    }
}

impl Walk {
    /// All but the frames in which something else was found: that says it all, and by when.
    fn listed(&self) -> impl Iterator<Item = &Found> {
        let within = |found: &Found| found.note.poller.frame;
        let mut told: HashSet<Frame> = self.found.iter().map(within).collect();
        told.remove(&Frame::NONE);
        // Of several that stand for one frame, one says it.
        self.found.iter().filter(move |found| found.frame == Frame::NONE || told.insert(found.frame))
    }

    fn phase(&self, found: &Found) -> &'static str {
        let around = around(&self.frames, found.note.poller.frame);
        around.filter_map(|frame| frame.phase).next().unwrap_or(found.label.what)
    }
}

/// The frames that stand from `innermost` outwards.
fn around(
    frames: &HashMap<Frame, Standing>,
    innermost: Frame,
) -> impl Iterator<Item = Standing> + use<'_> {
    let next = |frame: Frame| frames.get(&frame).copied();
    // A frame that was kept and polled in another one may have noted what it is in no longer.
    std::iter::successors(next(innermost), move |frame| next(frame.within)).take(frames.len())
}

impl Found {
    fn plain(label: Label, note: Note) -> Found {
        let (token, subject, own, frame) = (None, None, Limit::NONE, Frame::NONE);
        Found { label, token, subject, own, note, frame }
    }
}

struct Resolved {
    limit: Limit,
    class: WaitClass,
}

impl Reactor {
    fn found_on_sources(&mut self, found: &mut Vec<Found>) {
        let reactor = self.id;
        for (id, source) in self.sources.iter_mut() {
            let home = source.home();
            for (direction, side) in source.sides() {
                found.extend(side.notes().into_iter().map(|note| Found {
                    token: Some(Token { id, reactor }),
                    subject: source.subject(),
                    own: own_limit(side, &note),
                    ..Found::plain(source.label(direction), Note { scope: note.scope.or(home), ..note })
                }));
            }
        }
    }

    fn found_with_timers(&mut self, walk: &mut Walk) {
        for (_, plain) in self.plain.iter_mut() {
            let (label, until_ns) = (plain.label, plain.deadline_ns);
            let (frame, set_at) = (label.frame, label.set_at);
            let by = if frame.is_some() { WaitBound::Guard(set_at) } else { WaitBound::Itself };
            walk.found.extend(plain.note().map(|note| Found {
                own: Limit::NONE.or_earlier(until_ns, || Some(by.clone())),
                frame,
                ..Found::plain(Label::new(label.what), note)
            }));
            if frame.is_some() {
                let phase = Some(label.what).filter(|what| *what != TimerLabel::UNNAMED);
                let standing = Standing { within: plain.within, until_ns, set_at, phase };
                walk.frames.insert(frame, standing);
            }
        }
    }

    /// Those who wait for the tasks of a scope whose body has returned.
    fn found_in_scopes(&mut self, found: &mut Vec<Found>) {
        let waiting = self.scopes.nodes.iter_mut().filter(|(_, node)| node.tasks > 0);
        found.extend(waiting.filter_map(|(_, node)| node.joins()).map(|note| Found {
            subject: Some(Subject::Literal("the tasks of the scope")),
            ..Found::plain(Label::idle("join"), note)
        }));
    }

    /// `known` is what was found out of scopes before.
    fn resolve(
        &mut self,
        found: &Found,
        frames: &HashMap<Frame, Standing>,
        known: &mut HashMap<Id, Limit>,
    ) -> Resolved {
        let Found { label, own, note, .. } = found;
        let mut limit = Limit { at_ns: own.at_ns, by: own.by.clone() };
        let innermost = if found.frame.is_some() { found.frame } else { note.poller.frame };
        limit = limit.within(innermost, frames);
        let mut intended = false;
        if let Some(scope) = note.scope {
            let effective_ns = self.scopes.effective_ns(scope);
            limit = limit.or_earlier(effective_ns, || self.scope_bound(scope));
            intended = self.scopes.is_unbounded(scope);
            let around = self.frames_around(scope, frames, known);
            limit = limit.or_earlier(around.at_ns, || around.by);
        }
        let class = match limit.by {
            Some(_) => WaitClass::Bounded,
            None if label.idle => WaitClass::Idle,
            None if intended => WaitClass::Intended,
            None => WaitClass::Unbounded,
        };
        Resolved { limit, class }
    }

    /// The earliest end of the frames in which a scope and those around it are polled: what drops one of those drops
    /// all in it. Each scope is asked once, however many wait in it and however deep it is.
    fn frames_around(
        &mut self,
        scope: Id,
        frames: &HashMap<Frame, Standing>,
        known: &mut HashMap<Id, Limit>,
    ) -> Limit {
        let (mut inwards, mut next, mut limit) = (Vec::new(), Some(scope), Limit::NONE);
        while let Some(id) = next {
            if let Some(found) = known.get(&id) {
                limit = found.clone();
                break;
            }
            let Some((frame, parent)) = self.scopes.frame_and_parent(id) else { break };
            inwards.push((id, frame));
            next = parent;
        }
        for (id, frame) in inwards.into_iter().rev() {
            limit = limit.within(frame, frames);
            known.insert(id, limit.clone());
        }
        limit
    }

    fn scope_bound(&mut self, scope: Id) -> Option<WaitBound> {
        let owner = self.scopes.owner_of_deadline(scope)?;
        self.scopes.nodes.get_mut(owner).map(|node| WaitBound::Scope((*node.deadline).clone()))
    }

    /// The names of the scopes from the outermost to `id`.
    pub(crate) fn scope_path(&mut self, id: Id) -> String {
        let names = self.scopes.path(id);
        names.iter().map(|name| &**name).collect::<Vec<_>>().join("/")
    }
}

impl Limit {
    /// The earliest of it and of all frames from `innermost` outwards.
    fn within(self, innermost: Frame, frames: &HashMap<Frame, Standing>) -> Limit {
        around(frames, innermost).fold(self, |limit, frame| {
            limit.or_earlier(frame.until_ns, || Some(WaitBound::Guard(frame.set_at)))
        })
    }
}

/// The bounds of an operation on one side of a source.
fn own_limit(side: &Side, note: &Note) -> Limit {
    Limit::NONE
        .or_earlier(note.until_ns, || Some(WaitBound::Timeout(side.timeout_set_at.get())))
        .or_earlier(side.deadline(), || Some(WaitBound::Deadline(side.set_at.get())))
}
