//! `size`: what a program costs before it runs. A program that sleeps and says hello, each built from nothing: how long that takes on two
//! cores, how many crates it pulls in, how large it is, stripped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row, Subject, by_turns};

/// A program of the same kind for a runtime.
struct Hello {
    peer: &'static str,
    variant: &'static str,
    /// Its line among the dependencies; `{root}` is where this project is.
    dependency: &'static str,
    main: &'static str,
}

const HELLOS: [Hello; 3] = [
    Hello {
        peer: "punctual",
        variant: "no features",
        dependency: r#"punctual = { path = "{root}", default-features = false }"#,
        main: "fn main() -> std::io::Result<()> {
    punctual::Runtime::new()?.block_on(punctual::sleep(std::time::Duration::from_millis(1)));
    println!(\"hello\");
    Ok(())
}
",
    },
    Hello {
        peer: "tokio",
        variant: "rt, net, time",
        dependency: r#"tokio = { version = "1", default-features = false, features = ["net", "rt", "time"] }"#,
        main: "fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(1)).await });
    println!(\"hello\");
    Ok(())
}
",
    },
    Hello {
        peer: "smol",
        variant: "",
        dependency: r#"smol = "2""#,
        main: "fn main() {
    smol::block_on(smol::Timer::after(std::time::Duration::from_millis(1)));
    println!(\"hello\");
}
",
    },
];

/// The cores that it is built on.
const CORES: &str = "0,1";

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let wanted = HELLOS.iter().filter(|hello| options.wants(hello.peer));
    let subject =
        |hello: &Hello| Subject { peer: hello.peer, variant: hello.variant, param: "hello".into() };
    let rows = by_turns(wanted.map(subject).collect(), options.rounds, |subject| {
        HELLOS.iter().find(|hello| hello.peer == subject.peer).map_or_else(
            || Err("nobody knows it".into()),
            |hello| hello.built().map_err(|error| error.to_string()),
        )
    })?;
    let (targets, rounds) = (targets(&rows), options.rounds);
    Ok(Report { workload: "size", rounds, rows, targets, machine: String::new() })
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let ours = rows.iter().find(|row| row.subject.peer == "punctual");
    let median = |figure| ours?.median(figure);
    [
        Target::most("release build of the core, s".into(), median(BUILD), 15.0),
        Target::most("crates pulled in".into(), median(CRATES), 20.0),
        Target::most("hello-sleep, stripped, KiB".into(), median(HELLO), 700.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) const BUILD: &str = "build s";
pub(crate) const CRATES: &str = "crates";
pub(crate) const HELLO: &str = "hello KiB";

impl Hello {
    fn built(&self) -> std::io::Result<Figures> {
        let directory = self.written()?;
        let target = directory.join("target");
        let began = Instant::now();
        cargo(&directory, &["build", "--release", "--jobs", "2", "--target-dir", "target"])?;
        let took = began.elapsed().as_secs_f64();
        let size = target.join("release/hello").metadata()?.len();
        fs::remove_dir_all(&target)?;
        let tree = ["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
        let tree = cargo(&directory, &tree)?;
        let lines = String::from_utf8_lossy(&tree.stdout).into_owned();
        let crates: BTreeSet<&str> =
            lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
        // Neither the program nor what it was written for.
        let crates = crates.len().saturating_sub(2);
        Ok(Figures::from([
            (BUILD.into(), took),
            (CRATES.into(), crates as f64),
            (HELLO.into(), size as f64 / 1024.0),
        ]))
    }

    /// A package beside this program, with the versions that this project has locked.
    fn written(&self) -> std::io::Result<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let directory = std::env::current_exe()?.with_file_name("hello").join(self.peer);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("src"))?;
        let dependency = self.dependency.replace("{root}", &root.display().to_string());
        let manifest = format!(
            "[package]\nname = \"hello\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n\n\
             [profile.release]\nstrip = true\n\n[workspace]\n"
        );
        fs::write(directory.join("Cargo.toml"), manifest)?;
        fs::write(directory.join("src/main.rs"), self.main)?;
        fs::copy(root.join("Cargo.lock"), directory.join("Cargo.lock"))?;
        Ok(directory)
    }
}

/// On two cores, whatever this thread has been tied to.
fn cargo(directory: &Path, words: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new("taskset");
    command.args(["-c", CORES, "cargo"]).args(words).arg("--offline").current_dir(directory);
    let output = command.env_remove("CARGO_TARGET_DIR").output()?;
    match output.status.success() {
        true => Ok(output),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}
