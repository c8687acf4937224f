//! The command line. Anything wrong with it is said in one line, with exit code 2.

use std::process;
use std::str::FromStr;

use clap::{Parser, error::ErrorKind};

use crate::scenarios::{self, Scenario};

#[derive(Parser)]
#[command(
    name = "timeout_lab",
    about = "Makes the faults that defeat timeouts, and judges what becomes of ours."
)]
pub(crate) struct Options {
    /// Print one JSON object a line instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run only this scenario; may be repeated.
    #[arg(long, value_name = "SCENARIO", value_parser = scenario)]
    pub(crate) only: Vec<&'static Scenario>,
    /// Print the names of the scenarios and what each does.
    #[arg(long)]
    pub(crate) list: bool,
    /// Have a scenario misbehave, to see that it is noticed: SCENARIO or SCENARIO=early|leak|hang|panic|class.
    #[arg(long, value_name = "SCENARIO", hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
    /// Be the process of this scenario.
    #[arg(long, hide = true, value_parser = scenario)]
    subject: Option<&'static Scenario>,
    /// The process that started this one.
    #[arg(long, hide = true, requires = "subject")]
    parent: Option<i32>,
}

/// What one process has to do.
pub(crate) struct Subject {
    pub(crate) scenario: &'static Scenario,
    pub(crate) parent: Option<i32>,
    pub(crate) sabotage: Option<How>,
}

/// A scenario that is to fail.
#[derive(Clone, Copy)]
pub(crate) struct Sabotage {
    pub(crate) scenario: &'static Scenario,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Half of the time that is said to be set.
    Early,
    /// A descriptor is left open.
    Leak,
    /// It never ends.
    Hang,
    Panic,
    /// What ended it is misreported.
    Class,
}

impl Options {
    /// Reads the command line; ends the process if it asks for help or makes no sense.
    pub(crate) fn from_args() -> Options {
        Options::try_parse().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => refuse(
                error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: "),
            ),
        })
    }

    pub(crate) fn subject(&self) -> Option<Subject> {
        let sabotage = self.sabotage.map(|sabotage| sabotage.how);
        self.subject.map(|scenario| Subject { scenario, parent: self.parent, sabotage })
    }

    /// The scenarios to run, in the order of the table.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        let wanted = |each: &Scenario| {
            self.only.is_empty() || self.only.iter().any(|only| only.name == each.name)
        };
        scenarios::all().filter(move |each| wanted(each))
    }
}

/// Says what is wrong in one line and ends the process.
fn refuse(why: &str) -> ! {
    eprintln!("timeout_lab: {why}");
    process::exit(2)
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    scenarios::all()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| "there is no such scenario; --list prints those there are".to_owned())
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(text: &str) -> Result<Sabotage, String> {
        let (name, how) = text.split_once('=').unwrap_or((text, "class"));
        let how = match how {
            "early" => How::Early,
            "leak" => How::Leak,
            "hang" => How::Hang,
            "panic" => How::Panic,
            "class" => How::Class,
            _ => return Err("it is done by early, leak, hang, panic or class".to_owned()),
        };
        Ok(Sabotage { scenario: scenario(name)?, how })
    }
}

impl Sabotage {
    pub(crate) fn word(self) -> String {
        format!("{}={:?}", self.scenario.name, self.how).to_lowercase()
    }
}
