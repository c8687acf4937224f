//! The live view in a real terminal.

use crate::TOP;
use crate::endpoint::{Says, listen};
use crate::terminal::{self, Terminal, read};

/// The program on a terminal, between two looks at the terminal's modes.
fn start(name: &str, says: Says) -> Terminal {
    let (before, after) =
        (Terminal::file(&format!("{name}-before")), Terminal::file(&format!("{name}-after")));
    let line = format!(
        "stty -g > {before}; echo earlier; echo $$ > {before}.pid; {TOP} {address} --interval 100ms; \
         echo ended with $?; stty -g > {after}",
        before = before.display(),
        after = after.display(),
        address = listen(says),
    );
    Terminal::run(name, 80, 24, &line)
}

#[track_caller]
fn is_as_before(name: &str, terminal: &Terminal, status: u8) {
    let ended = format!("ended with {status}");
    let screen = terminal.wait_for(&ended, |screen| screen.contains(&ended));
    assert!(screen.contains("earlier"), "what stood there before stands there again:\n{screen}");
    assert!(!screen.contains("turns/s"), "{screen}");
    assert!(!terminal.is("alternate_on") && terminal.is("cursor_flag"));
    let after = Terminal::file(&format!("{name}-after"));
    terminal.wait_for("the modes", |_| read(&after).ends_with(char::is_whitespace));
    let before = Terminal::file(&format!("{name}-before"));
    assert_eq!(read(&before), read(&after), "the terminal's modes");
    for file in [&before, &after, &before.with_extension("pid")] {
        let _ = std::fs::remove_file(file);
    }
}

#[test]
fn it_shows_and_obeys_and_leaves_the_terminal_as_it_was() {
    if !terminal::is_here() {
        return;
    }
    let terminal = start("keys", Says::States);
    let screen = terminal.wait_for("figures", |screen| screen.contains("turns/s 50"));
    assert!(screen.contains("hog") && screen.contains("src/hog.rs:1:2"), "{screen}");
    assert!(screen.contains("every 100 ms") && screen.contains("q quit"), "{screen}");
    assert!(terminal.is("alternate_on"));

    terminal.resize(120, 30);
    terminal.wait_for("the new size", |screen| screen.lines().any(|line| line.chars().count() == 120));
    terminal.resize(60, 20);
    terminal.wait_for("the new size", |screen| {
        screen.lines().all(|line| line.chars().count() <= 60)
            && screen.lines().nth(19).is_some_and(|line| line.contains("q quit"))
    });

    terminal.press(&["p"]);
    terminal.wait_for("the pause", |screen| screen.contains("paused, as of"));
    terminal.press(&["p"]);
    terminal.wait_for("no pause", |screen| screen.contains("every 100 ms"));
    terminal.press(&["r"]);
    terminal.wait_for("figures from now on", |screen| screen.contains("since r"));
    terminal.press(&["Tab"]);
    terminal.wait_for("the list that is scrolled", |screen| screen.contains("▶ worst culprits"));
    terminal.press(&["Escape"]);
    is_as_before("keys", &terminal, 0);
}

#[test]
fn a_signal_ends_it_in_good_order() {
    if !terminal::is_here() {
        return;
    }
    for signal in ["INT", "TERM", "HUP"] {
        let terminal = start(signal, Says::States);
        terminal.wait_for("figures", |screen| screen.contains("turns/s 50"));
        let shell = read(&Terminal::file(&format!("{signal}-before")).with_extension("pid"));
        let children = read(format!("/proc/{0}/task/{0}/children", shell.trim()).as_ref());
        let killed = std::process::Command::new("kill").args(["-s", signal, children.trim()]).status();
        assert!(killed.expect("kill runs").success(), "{children:?} of {shell:?}");
        is_as_before(signal, &terminal, 0);
    }
}

#[test]
fn a_loop_that_stops_turning_is_said_to_and_goes_on_being_asked() {
    if !terminal::is_here() {
        return;
    }
    let terminal = start("stuck", Says::StatesThenNothing(5));
    let screen =
        terminal.wait_for("the stuck loop", |screen| screen.contains("s: the loop does not turn"));
    assert!(screen.contains("turns/s 50") && screen.contains("hog"), "what was known stays:\n{screen}");
    // Beyond the bound of one question: the count goes on with the next.
    terminal.wait_for("the next question", |screen| {
        let silent = screen.split("no answer for ").nth(1).and_then(|rest| rest.split(' ').next());
        silent.and_then(|seconds| seconds.parse::<f64>().ok()).is_some_and(|seconds| seconds > 5.5)
    });
    terminal.press(&["q"]);
    is_as_before("stuck", &terminal, 0);
}
