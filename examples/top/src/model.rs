//! [`Model`]: all that is shown, and how it changes. It asks nobody and draws nothing.

use std::cell::Cell;
use std::time::Duration;

use punctual::Instant;
use punctual::debug::State;

use crate::rates::{Between, continues};

/// What has happened.
#[derive(Debug)]
pub(crate) enum Message {
    /// A question was sent.
    Asked(Instant),
    Answered(Box<State>, Instant),
    Failed(Failure),
    Key(Key),
    /// Time has passed, or the terminal has another size.
    Redraw,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection stands, and nothing comes: who accepts it in the end is the loop.
    Silent,
    /// Everything else, as a sentence.
    Told(String),
}

/// What a user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Quit,
    Pause,
    /// Figures from here on.
    Reset,
    /// Figures of the last interval again.
    Last,
    NextList,
    PreviousList,
    Up,
    Down,
    Top,
}

/// The lists that can be scrolled, from the top of the screen to its bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Culprits,
    Phases,
    Oldest,
    Unbounded,
    Tasks,
    Record,
}

impl List {
    const ALL: [List; 6] =
        [List::Culprits, List::Phases, List::Oldest, List::Unbounded, List::Tasks, List::Record];
}

/// How it stands with the process that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nobody was asked yet, or the first question is under way.
    Starting,
    Answering,
    /// The loop does not answer, for so long.
    Stuck(Duration),
    /// It cannot be asked, for so long, and why.
    Failing(Duration, String),
}

/// From when on a question without an answer is worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Model {
    /// The address that is asked.
    pub target: String,
    pub interval: Duration,
    pub paused: bool,
    /// Whether figures are since a moment that the user chose.
    pub pinned: bool,
    pub focus: Option<List>,
    /// By how many rows; a list that has room for more of them takes some back.
    scrolled: [Cell<usize>; List::ALL.len()],
    state: Option<State>,
    /// What the figures are the difference to.
    base: Option<State>,
    answered: Option<Instant>,
    /// When the first question was sent that is not answered yet.
    asked: Option<Instant>,
    failure: Option<Failure>,
}

impl Model {
    pub(crate) fn new(target: String, interval: Duration) -> Model {
        Model {
            target,
            interval,
            paused: false,
            pinned: false,
            focus: None,
            scrolled: Default::default(),
            state: None,
            base: None,
            answered: None,
            asked: None,
            failure: None,
        }
    }

    /// Takes in what has happened; false if that is the end.
    pub(crate) fn update(&mut self, message: Message) -> bool {
        match message {
            Message::Asked(at) => self.asked = self.asked.or(Some(at)),
            Message::Failed(_) | Message::Answered(..) if self.paused => {}
            Message::Answered(state, at) => self.answer(*state, at),
            Message::Failed(failure) => self.failure = Some(failure),
            Message::Key(Key::Quit) => return false,
            Message::Key(key) => self.press(key),
            Message::Redraw => {}
        }
        true
    }

    fn answer(&mut self, state: State, at: Instant) {
        let anew = self.state.as_ref().is_some_and(|before| !continues(before, &state));
        if anew {
            (self.base, self.pinned) = (None, false);
        } else if !self.pinned {
            self.base = self.state.take();
        }
        self.state = Some(state);
        (self.answered, self.asked, self.failure) = (Some(at), None, None);
    }

    fn press(&mut self, key: Key) {
        match key {
            Key::Quit => {}
            Key::Pause => {
                self.paused = !self.paused;
                self.asked = None;
            }
            Key::Reset => (self.base, self.pinned) = (self.state.clone(), true),
            Key::Last => self.pinned = false,
            Key::NextList => self.focus(1),
            Key::PreviousList => self.focus(List::ALL.len() - 1),
            Key::Up => self.scroll(|rows| rows.saturating_sub(1)),
            Key::Down => self.scroll(|rows| rows + 1),
            Key::Top => self.scroll(|_| 0),
        }
    }

    fn focus(&mut self, by: usize) {
        let last = List::ALL.len() - 1;
        let at = self.focus.map_or(if by == 1 { last } else { 0 }, |list| list as usize);
        self.focus = Some(List::ALL[(at + by) % List::ALL.len()]);
    }

    fn scroll(&mut self, moved: impl Fn(usize) -> usize) {
        let list = *self.focus.get_or_insert(List::Culprits);
        let rows = self.rows_of(list).saturating_sub(1);
        let scrolled = &self.scrolled[list as usize];
        scrolled.set(moved(scrolled.get()).min(rows));
    }

    fn rows_of(&self, list: List) -> usize {
        self.state.as_ref().map_or(0, |state| match list {
            List::Culprits => state.blame.worst.len(),
            List::Phases => state.waits.by_phase.len(),
            List::Oldest => state.waits.oldest.len(),
            List::Unbounded => state.waits.unbounded.len(),
            List::Tasks => state.tasks.len(),
            List::Record => state.phases.len(),
        })
    }

    /// By how many rows the list is scrolled where `shown` of its `rows` have room.
    pub(crate) fn scrolled(&self, list: List, rows: usize, shown: usize) -> usize {
        let scrolled = &self.scrolled[list as usize];
        scrolled.set(scrolled.get().min(rows.saturating_sub(shown)));
        scrolled.get()
    }

    /// The last answer.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// How long ago the last answer came.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|at| now - at)
    }

    /// What happened between the last answer and the one before, or the one that the user chose.
    pub(crate) fn between(&self) -> Option<Between> {
        self.state.as_ref().map(|state| Between::of(self.base.as_ref(), state))
    }

    pub(crate) fn link(&self, now: Instant) -> Link {
        let waiting = self.asked.map(|asked| now - asked);
        match (&self.failure, waiting) {
            _ if self.paused => Link::Answering,
            (Some(Failure::Told(why)), _) => Link::Failing(waiting.unwrap_or_default(), why.clone()),
            (Some(Failure::Silent), _) => Link::Stuck(waiting.unwrap_or_default()),
            (None, Some(waiting)) if waiting >= PATIENCE => Link::Stuck(waiting),
            (None, _) if self.state.is_none() => Link::Starting,
            (None, _) => Link::Answering,
        }
    }
}
