//! What scripts read: one screen as text, or the document itself.

use std::io::{Write, stdout};

use punctual::{Instant, interval, sleep};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};

use crate::arguments::Arguments;
use crate::fetch;
use crate::model::{Failure, Message, Model};
use crate::view::{full_height, view};

/// The width of a screen that is nobody's.
const WIDTH: u16 = 120;

/// Prints one screen, whose figures are those of one interval, in full length.
///
/// # Errors
/// Why there is no answer, or none the second time.
pub(crate) async fn text(arguments: &Arguments) -> Result<(), String> {
    let mut model = Model::new(arguments.address.clone(), arguments.interval);
    for again in [true, false] {
        let state =
            fetch::state(&arguments.address).await.map_err(|failure| told(failure, arguments))?;
        model.update(Message::Answered(Box::new(state), Instant::now()));
        if again {
            sleep(arguments.interval).await;
        }
    }
    print(&render(&model, width())?)
}

/// Prints the document: one with `--once`, else one each interval for as long as it is answered.
///
/// # Errors
/// Why there is no answer.
pub(crate) async fn json(arguments: &Arguments) -> Result<(), String> {
    let mut ticks = interval(arguments.interval);
    loop {
        ticks.tick().await;
        let state =
            fetch::state(&arguments.address).await.map_err(|failure| told(failure, arguments))?;
        let line = serde_json::to_string(&state).map_err(|error| error.to_string())?;
        print(&format!("{line}\n"))?;
        if arguments.once {
            return Ok(());
        }
    }
}

fn told(failure: Failure, arguments: &Arguments) -> String {
    match failure {
        Failure::Told(why) => why,
        Failure::Silent => format!("no answer from {}: the loop does not turn", arguments.address),
    }
}

fn width() -> u16 {
    let chosen = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    chosen.filter(|columns| (40..=1_000).contains(columns)).unwrap_or(WIDTH)
}

/// The whole screen as text.
fn render(model: &Model, width: u16) -> Result<String, String> {
    let screen = TestBackend::new(width, full_height(model, width));
    let mut terminal = Terminal::new(screen).map_err(|error| error.to_string())?;
    let now = Instant::now();
    terminal.draw(|frame| view(model, now, frame)).map_err(|error| error.to_string())?;
    Ok(text_of(terminal.backend().buffer()))
}

/// What stands in `buffer`, line by line, without its colours.
pub(crate) fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width)) {
        let line: String = row.iter().map(Cell::symbol).collect();
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

/// A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), String> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Err(_) => std::process::exit(0),
        Ok(()) => Ok(()),
    }
}
