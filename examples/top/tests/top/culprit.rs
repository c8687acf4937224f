//! From end to end: a task that blocks 50 ms in one of twenty of its turns is named, by the place where it was spawned, in
//! the report, in the warning, on the page, and by `top`; and no other before it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;

use punctual::debug::{CulpritEntry, State};

use crate::terminal::{self, Terminal};
use crate::{TOP, skip};

/// The example, running.
struct Culprit {
    process: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
    /// Where its task is spawned, as `examples/culprit.rs:97:`.
    place: String,
}

impl Culprit {
    fn start() -> Culprit {
        let mut command = Command::new(example());
        command.args(["--seconds", "600", "--debug", "127.0.0.1:0"]);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stderr = BufReader::new(process.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it listens");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Culprit { process, stderr, address, place: place() }
    }

    fn top(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(TOP);
        let output = command.arg(&self.address).args(arguments).env("COLUMNS", "160").output();
        let output = output.expect("top starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Ends it as Ctrl-C does. Returns what it has said, and what it was warned of.
    fn end(mut self) -> (String, String) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().expect("kill runs").success());
        let (mut report, mut warnings) = (String::new(), String::new());
        self.process.stdout.take().expect("piped").read_to_string(&mut report).expect("its report");
        self.stderr.read_to_string(&mut warnings).expect("its warnings");
        assert!(self.process.wait().expect("its end").success(), "{warnings}");
        (report, warnings)
    }
}

impl Drop for Culprit {
    fn drop(&mut self) {
        // After a panic of the test; else it has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn example() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let profile = Path::new(TOP).parent().expect("the directory of a profile");
    let path = profile.join("examples/culprit");
    BUILT.get_or_init(|| {
        if !path.exists() {
            // It is another package's: built with the workspace, and not with this package alone.
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args([
                "build",
                "--locked",
                "-p",
                "punctual",
                "--all-features",
                "--example",
                "culprit",
            ]);
            assert!(cargo.status().expect("cargo runs").success());
        }
    });
    assert!(
        path.exists(),
        "{} is not built: `cargo test --workspace --all-features` does",
        path.display()
    );
    path
}

fn place() -> String {
    let source = include_str!("../../../culprit.rs");
    let line = source.lines().position(|line| line.contains("spawn_named(\"blocks\""));
    format!("examples/culprit.rs:{}:", line.expect("it is there") + 1)
}

/// The culprits in the text, and where each was spawned, in their order.
fn places(text: &str) -> Vec<&str> {
    let words = text.split([' ', '\n', '<', '>', '"', '(']);
    words.filter(|word| word.starts_with("examples/culprit.rs:")).collect()
}

/// At least two of the first three: on a machine that is busy the kernel now and then stops the loop for as long while it
/// runs somebody else, who is named then.
#[track_caller]
fn is_named(whom: &str, what: &str, text: &str) {
    let places = places(text);
    let first = &places[..places.len().min(3)];
    let named = first.iter().filter(|place| place.starts_with(whom)).count();
    assert!(named * 2 > first.len(), "{whom} it was, and {what} says:\n{text}");
}

/// What stands below the title of a list, up to the next.
fn list<'a>(screen: &'a str, title: &str) -> &'a str {
    let list = screen.split(title).nth(1).unwrap_or_else(|| panic!("no {title:?} in:\n{screen}"));
    list.split("\n─ ").next().unwrap_or_default()
}

/// Those that are of the task that blocks.
fn by_name(state: &State) -> impl Iterator<Item = &CulpritEntry> {
    state.blame.worst.iter().filter(|worst| worst.name.as_deref() == Some("blocks"))
}

/// Waits until it has blocked often enough.
fn state_with_culprits(culprit: &Culprit, least: usize) -> State {
    loop {
        let state: State = serde_json::from_str(&culprit.top(&["--once", "--json"])).expect("a state");
        if by_name(&state).count() >= least {
            return state;
        }
    }
}

#[test]
fn the_task_that_blocks_is_named_everywhere() {
    let culprit = Culprit::start();
    let place = culprit.place.clone();
    drop(state_with_culprits(&culprit, 3));

    is_named(&place, "top --once", list(&culprit.top(&["--once"]), "worst culprits"));
    if terminal::is_here() {
        let terminal = Terminal::run("culprit", 80, 24, &format!("{TOP} {}", culprit.address));
        let screen = terminal.wait_for("the culprit", |screen| screen.contains(&place));
        is_named(&place, "top", list(&screen, "worst culprits"));
        terminal.press(&["q"]);
    }
    match Command::new("curl").args(["-sf", &format!("http://{}/debug/drift", culprit.address)]).output()
    {
        Ok(page) => is_named(&place, "the page", &String::from_utf8_lossy(&page.stdout)),
        Err(_) => skip("no curl here: Debian's package curl would fetch the page"),
    }
    let (report, warnings) = culprit.end();
    is_named(&place, "the report", &report);
    let warned =
        warnings.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{warnings}"));
    assert!(warned.starts_with("WARN the loop was held up: task \"blocks\" spawned at"), "{warned}");
}

#[test]
fn how_long_it_held_the_loop_is_what_it_says_itself() {
    let culprit = Culprit::start();
    let state = state_with_culprits(&culprit, 8);
    let worst: Vec<_> = by_name(&state).collect();
    let (report, _) = culprit.end();
    // In another turn the kernel has stopped it, and not it the loop.
    let own = |turn: u64| -> Option<u64> {
        let line = report.lines().find(|line| line.ends_with(&format!(" ns in turn {turn}")))?;
        line.split("blocked for ").nth(1)?.split(' ').next()?.parse().ok()
    };
    let both = worst.iter().filter_map(|worst| Some((worst.held_ns, own(worst.turn)?)));
    let both: Vec<_> = both.collect();
    assert!(both.len() * 2 > worst.len(), "the turns are others:\n{worst:#?}\n{report}");
    assert!(
        both.iter().all(|(held_ns, own_ns)| held_ns >= own_ns),
        "it held the loop longer than it blocked: {both:?}"
    );
    let mut beyond: Vec<f64> =
        both.iter().map(|(held, own)| (held - own) as f64 / *own as f64).collect();
    beyond.sort_by(f64::total_cmp);
    // The worst are those where the kernel ran others after the task had looked at its clock, and before the loop did:
    // that is the loop's loss all the same. The quarter where it did so least is compared.
    let compared = beyond[beyond.len() / 4];
    assert!(compared <= 1.0 / 32.0, "a histogram's bucket is 1/32: {beyond:?}");
}
