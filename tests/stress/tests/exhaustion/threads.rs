//! R02: no thread and no process can be started (`RLIMIT_NPROC`).

use std::process::Command;
use std::time::Duration;

use punctual::net::UnixStream;
use punctual::{PerCore, Runtime, blocking, fs, sleep, spawn};
use punctual_tests_stress::child;
use punctual_tests_stress::rig::{self, MS, assert_baseline, skip, watchdog};
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

/// Lets this user have as many threads as there are, or as many as there may be.
fn allow_threads(more: bool) {
    let maximum = getrlimit(Resource::Nproc).maximum;
    let current = if more { maximum } else { Some(0) };
    setrlimit(Resource::Nproc, Rlimit { current, maximum }).expect("set");
}

/// What each says that starts a thread or a process.
async fn attempts() -> Vec<(&'static str, Result<(), String>)> {
    let mut program = punctual::process::Command::new("true");
    let cores = || PerCore::new(2).pin(false).run(|_| async { Ok::<_, std::io::Error>(()) });
    // Not on this loop: it would wait for others.
    let cores = std::panic::catch_unwind(cores).expect("no panic");
    vec![
        ("blocking", blocking(|| ()).await.map_err(|error| error.to_string())),
        ("fs::read", fs::read("/dev/null", 9).await.map(drop).map_err(|error| error.to_string())),
        (
            "fs::File::open",
            fs::File::open("/dev/null").await.map(drop).map_err(|error| error.to_string()),
        ),
        (
            "Command",
            program
                .output(Duration::from_secs(20), 9)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
        ),
        ("per_core", cores.map(drop).map_err(|error| error.to_string())),
    ]
}

const TEST: &str = "threads::r02_what_starts_a_thread_says_that_there_can_be_none_and_the_loop_goes_on";

#[test]
fn r02_what_starts_a_thread_says_that_there_can_be_none_and_the_loop_goes_on() {
    if std::env::var("PUNCTUAL_CHILD").is_err() {
        return as_nobody();
    }
    let _watchdog = watchdog("r02 threads", Duration::from_secs(60));
    allow_threads(false);
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        return skip("RLIMIT_NPROC holds nobody here: it takes a user without CAP_SYS_RESOURCE");
    }
    let runtime = Runtime::new().expect("it needs no thread");
    let before = rig::descriptors();
    for _ in 0..20 {
        for (name, result) in runtime.block_on(attempts()) {
            let said = result.expect_err(name);
            assert!(said.contains("Resource temporarily unavailable"), "{name} says: {said}");
            assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new(), "{name}");
        }
        runtime.block_on(async {
            let (near, far) = UnixStream::pair().expect("a pair");
            let writes = spawn(async move {
                sleep(MS).await;
                far.write_all(b"x").await
            });
            near.read_exact(&mut [0]).await.expect("it comes");
            writes.await.expect("no panic").expect("room");
        });
        assert_eq!(runtime.metrics().blocking_threads, 0);
    }
    assert_baseline(&runtime);
    allow_threads(true);
    for (name, result) in runtime.block_on(attempts()) {
        assert_eq!(result, Ok(()), "{name}, when there may be threads again");
    }
    assert_baseline(&runtime);
    println!("NPROC was hit");
}

/// Runs it again as a user for whom the limit holds; for root it does not.
fn as_nobody() {
    let drop_root =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    let root = getuid().is_root();
    if root && Command::new("setpriv").arg("--version").output().is_err() {
        return skip("no setpriv (Debian: util-linux), with which root could be somebody else");
    }
    let mut command = child::command(if root { &drop_root } else { &[] }, TEST);
    let output = command.current_dir("/").output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(126) || output.status.code() == Some(127) {
        return skip(&format!("this program cannot be run as another user: {err}"));
    }
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
    println!("{out}{err}");
}
