//! The reactor's part of an operation: what it may do, how it waits, how it leaves. It calls nobody and wakes nobody.

use crate::arena::Id;
use crate::failure::Failure;
use crate::operation::{NO_MEMBER, Operation, Step, Times};
use crate::phases::PhaseIndex;
use crate::reactor::Reactor;
use crate::readiness::Direction;
use crate::scope::tree::Member;
use crate::side::Side;
use crate::source::{NEVER, Source, Unusual};
use crate::token::Token;
use crate::waiters::{Note, Poller, Wakeup};

impl Reactor {
    /// What an operation is to do next where more than readiness has a say: a scope, a deadline, an end of the source.
    #[inline(never)]
    pub(crate) fn step(&mut self, source: &Source, operation: &mut Operation, begins: bool) -> Step {
        if let Some(scope) = operation.scope
            && let Some(step) = self.step_in_scope(source, operation, scope, begins)
        {
            return step;
        }
        if source.is_closed() {
            return Step::Fail;
        }
        let side = source.side(operation.direction);
        // What came first counts: an interrupt lets nothing fire after it.
        if operation.has_elapsed(side) {
            return Step::TryOnceMore;
        }
        if source.interrupted().is_some() || begins && !operation.begin(side, self) {
            return Step::Fail;
        }
        source.step(operation, self.metrics.turns as u32, &self.budget)
    }

    /// What the scope of an operation makes of it: nothing, as long as the scope has not ended.
    fn step_in_scope(
        &mut self,
        source: &Source,
        operation: &Operation,
        scope: Id,
        begins: bool,
    ) -> Option<Step> {
        if begins {
            // Of a source that is closed or cancelled the failure tells which came first.
            return self.refuses(scope).map(|_| Step::Fail);
        }
        let (order, by_deadline) = self.scopes.ended(scope)?;
        if source.is_closed() {
            return None;
        }
        let side = source.side(operation.direction);
        let fired_before = operation.has_elapsed(side) && side.elapsed().order < order;
        let interrupted_before = source.interrupted().is_some_and(|(before, _)| *before < order);
        let once_more = fired_before || by_deadline && !interrupted_before;
        Some(if operation.waiting && once_more { Step::TryOnceMore } else { Step::Fail })
    }

    /// Whether an operation of the poll-based interface was given up by whoever polled it: it was told
    /// that its time is over, and everything that was runnable then has run since.
    pub(crate) fn was_given_up(&self, source: &Source, operation: &Operation) -> bool {
        let side = source.side(operation.direction);
        let told = operation.has_elapsed(side) && !source.is_closed();
        told && side.elapsed().in_turn <= self.all_ran_in_turn
    }

    /// Has the task that is polled woken when the side is ready or the operation's time is up: as nearly all wait, where
    /// [nothing else does](Source::is_free).
    #[inline(always)]
    pub(crate) fn wait_alone(
        &mut self,
        id: Id,
        source: &Source,
        side: &Side,
        operation: &mut Operation,
        ((begun_at_ns, own_ns), guard_ns): ((u64, u64), u64),
        poller: Poller,
    ) {
        (operation.waiting, operation.alone) = (true, true);
        side.lone.wakes(poller);
        let held_up_before_ns = self.held_up_before(begun_at_ns);
        side.lone.times.set(Times { own_ns, guard_ns, begun_at_ns, held_up_before_ns });
        operation.minds = Unusual::when_waiting(operation.direction);
        side.waiting.set(1);
        self.waiting_sides += usize::from(!source.in_memory.get());
        let wanted_ns = side.deadline().min(own_ns);
        side.wanted.set(wanted_ns);
        if wanted_ns < source.entry_fires_by() {
            self.file_for(id, source, operation.direction, wanted_ns, begun_at_ns);
        }
    }

    /// The wheel entry of `source` fires too late for one that began at `begun_at_ns`.
    #[inline(never)]
    fn file_for(&mut self, id: Id, source: &Source, direction: Direction, at_ns: u64, begun_at_ns: u64) {
        self.now_ns = self.now_ns.max(begun_at_ns);
        self.want(id, source, direction, at_ns);
    }

    /// How long the loop had been held up before an operation that began then, the turn it began in included.
    #[inline]
    fn held_up_before(&self, begun_at_ns: u64) -> u64 {
        self.wait.held_up_ns + begun_at_ns.saturating_sub(self.wait.woke_ns)
    }

    /// The operation that waited alone has its result, and waits no longer; it is recorded as `phase`.
    #[inline(always)]
    pub(crate) fn leave_alone(&mut self, source: &Source, side: &Side, phase: Option<PhaseIndex>) {
        let Times { own_ns, guard_ns, begun_at_ns, .. } = side.lone.times.get();
        side.lone.forget();
        side.waiting.set(0);
        side.wanted.set(NEVER);
        side.lone.has_no_end();
        self.waiting_sides -= usize::from(!source.in_memory.get());
        if let Some(phase) = phase {
            self.record_done(phase, begun_at_ns, own_ns.min(guard_ns).min(side.deadline()));
        }
    }

    /// Has `wakeup` done when the side is ready or the operation's time is up. If it begins to wait it has the `times` that it
    /// began with. Returns the one it had before, to be dropped where its drop can do no harm, or `wakeup` itself if the source
    /// is closed.
    pub(crate) fn wait(
        &mut self,
        token: Token,
        source: &Source,
        operation: &mut Operation,
        times: Times,
        wakeup: Wakeup,
        poller: Poller,
    ) -> Result<Option<Wakeup>, Wakeup> {
        if source.is_closed() {
            return Err(wakeup);
        }
        let side = source.side(operation.direction);
        if !operation.waiting {
            self.begin_to_wait(token, source, operation, times);
        } else if operation.alone {
            operation.waits_beside(side.next_name(), side.lone.times.get());
            side.lone.forget();
            side.lone.has_no_end();
        }
        let scope = operation.scope;
        let Some(known) = operation.known_mut() else { return Err(wakeup) };
        known.times.guard_ns = times.guard_ns;
        let (name, own_ns) = (known.name, known.times.own_ns);
        let note = Note::of(&known.times, poller, scope);
        let before = side.others_mut().borrow_mut().set(name, wakeup, note);
        // Others may wait too: the side is told at the earliest time of all.
        side.other_has_until(own_ns, side.waiting.get() == 1);
        let wanted_ns = side.deadline().min(side.own());
        if wanted_ns != side.wanted.get() {
            self.want(token.id, source, operation.direction, wanted_ns);
        }
        Ok(before)
    }

    /// It waits from now on, under a name of its own.
    fn begin_to_wait(
        &mut self,
        token: Token,
        source: &Source,
        operation: &mut Operation,
        mut times: Times,
    ) {
        let side = source.side(operation.direction);
        self.now_ns = self.now_ns.max(times.begun_at_ns);
        if times.begun_at_ns == 0 {
            // Not read anew: in a scope with a deadline it was when the operation began. If a deadline is set only
            // while it waits, what came before in this turn counts as part of its wait.
            times.begun_at_ns = self.now_ns;
        }
        times.held_up_before_ns = self.held_up_before(times.begun_at_ns);
        let name = side.next_name();
        operation.waits_beside(name, times);
        let others = side.waiting.replace(side.waiting.get() + 1);
        self.waiting_sides += usize::from(others == 0 && !source.in_memory.get());
        if let Some(scope) = operation.scope {
            let direction = operation.direction;
            let member =
                self.scopes.join(scope, Member::Operation { source: token.id, direction, name });
            if let Some(known) = operation.known_mut() {
                // More than 2^32 of them would not fit in memory.
                known.member = member.map_or(NO_MEMBER, |member| member as u32);
            }
        }
    }

    /// An operation waits no longer; the last to go takes the side's wish along. Returns its wakeup, to be
    /// dropped where its drop can do no harm.
    pub(crate) fn leave(&mut self, source: &Source, operation: &Operation) -> Option<Wakeup> {
        let known = operation.known();
        if let (Some(scope), Some(known)) = (operation.scope, known) {
            // An operation on a source has no waker there.
            let _ = self.scopes.leave(scope, known.member as usize);
        }
        if source.is_closed() {
            return None;
        }
        let side = source.side(operation.direction);
        side.waiting.set(side.waiting.get() - 1);
        if side.waiting.get() == 0 {
            side.wanted.set(NEVER);
            self.waiting_sides -= usize::from(!source.in_memory.get());
        }
        match known {
            Some(known) => side.left_by_other(known.name),
            None => {
                side.lone.forget();
                side.lone.has_no_end();
                None
            }
        }
    }

    /// Why an operation has failed: what came first of a deadline that fired, a cancel or shutdown, the end of
    /// the scope and that of the source.
    #[cold]
    pub(crate) fn failure(&mut self, source: &Source, operation: &Operation) -> Failure {
        let times = operation.times(source.side(operation.direction));
        let (order, failure) = source.failure(operation);
        match operation.scope.and_then(|scope| self.scopes.end_of(scope)) {
            Some((ended, end)) if ended < order => {
                let mut failure = end.failure(operation.waiting.then_some(times.begun_at_ns));
                if let Failure::Elapsed(elapsed) = &mut failure {
                    elapsed.held_up_ns = operation.held_up(&times, &elapsed.wait);
                }
                failure
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests;
