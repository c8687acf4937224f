//! The process of one scenario: runs it, looks for what is left, prints the row.

use std::io::{Write, stdout};
use std::process::ExitCode;

use punctual::{Leeway, Runtime};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::judge::{Holdings, Leaked, Outcome, Skipped};
use crate::lab::Lab;
use crate::options::{How, Subject};
use crate::row::Row;

pub(crate) fn run(subject: &Subject) -> ExitCode {
    if !ends_with_its_parent(subject.parent) {
        return ExitCode::FAILURE;
    }
    let row = row(subject);
    match serde_json::to_string(&row).map(|line| writeln!(stdout(), "{line}")) {
        Ok(Ok(())) if row.is_acceptable() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn row(subject: &Subject) -> Row {
    let scenario = subject.scenario;
    if let Err(Skipped(why)) = scenario.prepare() {
        return Row::skipped(scenario, why);
    }
    let before = Holdings::now();
    let runtime = match Runtime::builder().leeway(Leeway::NONE).build() {
        Ok(runtime) => runtime,
        Err(error) => return Row::failed(scenario, format!("there is no runtime: {error}")),
    };
    let idle = Holdings::now();
    let lab = Lab::new(scenario.bound, runtime, subject.sabotage);
    let judged = lab.runtime.block_on(async {
        misbehave(subject.sabotage);
        (scenario.run)(&lab).await
    });
    let outcome: Outcome = match judged {
        Ok(outcome) => outcome,
        Err(Skipped(why)) => return Row::skipped(scenario, why),
    };
    let alive = idle.left(&lab.runtime);
    let early = lab.runtime.drift().early;
    drop(lab);
    // The runtime's own descriptors go with it.
    let leaked = Leaked { fds: alive.fds.max(before.new_fds()), ..alive };
    Row::judge(scenario, outcome, leaked, early)
}

/// What a defect would do.
fn misbehave(sabotage: Option<How>) {
    match sabotage {
        Some(How::Leak) => std::mem::forget(std::net::TcpListener::bind("127.0.0.1:0")),
        Some(How::Hang) => loop {
            std::thread::park();
        },
        Some(How::Panic) => panic!("sabotaged"),
        Some(How::Early | How::Class) | None => {}
    }
}

/// Nothing may stay when whoever reads the row is gone, killed perhaps.
fn ends_with_its_parent(parent: Option<i32>) -> bool {
    let Some(parent) = parent else { return true };
    // It may have ended before this: then there is another parent already.
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && getppid().map(Pid::as_raw_pid) == Some(parent)
}
