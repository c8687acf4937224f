//! The live view: what happens becomes messages, and after each batch of them the screen is drawn.

use std::cell::Cell;
use std::io::{IsTerminal, stdout};
use std::rc::Rc;
use std::time::Duration;

use punctual::signal::{SignalKind, signal};
use punctual::{Instant, interval, spawn};

use crate::arguments::Arguments;
use crate::fetch;
use crate::keys;
use crate::mailbox::Mailbox;
use crate::model::{Key, Message, Model};
use crate::screen::Screen;

/// How often the screen is drawn when nothing happens: it shows how long there was no answer.
const REDRAW: Duration = Duration::from_millis(250);

/// What has happened, or why nothing more will: the terminal is gone.
pub(crate) type News = Result<Message, String>;

/// Shows it until the user has seen enough, or a signal says so.
///
/// # Errors
/// What is wrong with the terminal.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), String> {
    if !stdout().is_terminal() {
        return Err(
            "standard output is no terminal: --once prints one screen, --json the document".to_owned()
        );
    }
    let mailbox = Mailbox::new();
    for kind in [SignalKind::INTERRUPT, SignalKind::TERMINATE, SignalKind::HANGUP] {
        listen(kind, || Message::Key(Key::Quit), &mailbox)?;
    }
    listen(SignalKind::WINDOW_CHANGE, || Message::Redraw, &mailbox)?;
    let mut screen = Screen::open().map_err(|error| format!("no terminal to draw on: {error}"))?;
    let mut model = Model::new(arguments.address.clone(), arguments.interval);
    let paused = Rc::new(Cell::new(false));
    drop(spawn(ask(arguments.address.clone(), arguments.interval, paused.clone(), mailbox.clone())));
    drop(spawn(redraw(mailbox.clone())));
    drop(spawn(keys::tell(mailbox.clone())));
    loop {
        for news in mailbox.take().await {
            if !model.update(news?) {
                return Ok(());
            }
        }
        paused.set(model.paused);
        screen.draw(&model).map_err(|error| format!("the terminal cannot be drawn on: {error}"))?;
    }
}

fn listen(kind: SignalKind, message: fn() -> Message, mailbox: &Mailbox<News>) -> Result<(), String> {
    let signals = signal(kind).map_err(|error| format!("{kind:?} cannot be listened for: {error}"))?;
    let mailbox = mailbox.clone();
    drop(spawn(async move {
        while signals.recv().await.is_ok() {
            mailbox.put(Ok(message()));
        }
    }));
    Ok(())
}

/// One question each interval, and none before the last has been answered or given up.
async fn ask(address: String, every: Duration, paused: Rc<Cell<bool>>, mailbox: Mailbox<News>) {
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        if paused.get() {
            continue;
        }
        mailbox.put(Ok(Message::Asked(Instant::now())));
        let message = match fetch::state(&address).await {
            Ok(state) => Message::Answered(Box::new(state), Instant::now()),
            Err(failure) => Message::Failed(failure),
        };
        mailbox.put(Ok(message));
    }
}

async fn redraw(mailbox: Mailbox<News>) {
    let mut ticks = interval(REDRAW);
    loop {
        ticks.tick().await;
        mailbox.put(Ok(Message::Redraw));
    }
}
