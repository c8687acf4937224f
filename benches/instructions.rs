//! What the hot paths cost in instructions of user space, counted by valgrind's callgrind: the same figure each time, whatever else the
//! machine does. It is the difference of two runs of this program that differ in nothing but how often.
//!
//! ```text
//! cargo bench -p punctual-benches --bench instructions [-- --json]
//! ```
//!
//! Client and server of an echo are tasks of one runtime, so a round trip is that of both. valgrind makes a system call of a clock read:
//! add some 60 for each. A request over HTTP is counted by the bench `http`.

use std::future::poll_fn;
use std::process::{Command, ExitCode};
use std::task::Poll;
use std::time::Duration;

use punctual_net::{Socket, TcpListener, TcpStream, duplex, transport};
use punctual_reactor::{Runtime, spawn};
use serde_json::json;

/// Each is run so often, and so often again.
const FEW: u32 = 1_000;
const MANY: u32 = 3_000;

const BYTES: usize = 64;

/// What a read may wait for the peer.
const IDLE: Duration = Duration::from_secs(5);

const PATHS: [(&str, &str); 5] = [
    ("wake", "a task that wakes itself and is polled again"),
    ("echo", "round trip over loopback, no deadline"),
    ("echo-timeout", "the same, each read and write with a timeout of 5 s"),
    ("memory", "round trip in memory, no deadline"),
    ("memory-timeout", "the same, each read and write with a timeout of 5 s"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, path, times] = &words[..]
        && flag == "--run"
    {
        let Ok(times) = times.parse() else { return ExitCode::from(2) };
        return run(path, times);
    }
    let mut rows = Vec::new();
    for (path, what) in PATHS {
        let counts = [FEW, MANY].map(|times| instructions(path, times));
        let [Some(few), Some(many)] = counts else {
            eprintln!("error: valgrind does not run here: install it");
            return ExitCode::FAILURE;
        };
        let each = (many - few) / f64::from(MANY - FEW);
        rows.push(json!({ "path": path, "instructions": each }));
        if !words.iter().any(|word| word == "--json") {
            println!("{path:15} {each:8.1}  {what}");
        }
    }
    if words.iter().any(|word| word == "--json") {
        println!("{}", serde_json::Value::Array(rows));
    }
    ExitCode::SUCCESS
}

fn run(path: &str, times: u32) -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    let timeout = path.ends_with("-timeout").then_some(IDLE);
    runtime.block_on(async {
        match path.trim_end_matches("-timeout") {
            "wake" => spawn(wake(times)).await.expect("it does not panic"),
            "echo" => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                let address = listener.local_addr().expect("its address");
                let client = TcpStream::connect(address).await.expect("it is there");
                let (server, _) = listener.accept().await.expect("a connection");
                round_trips(client, server, timeout, times).await;
            }
            _ => {
                let (client, server) = duplex(4_096);
                round_trips(client, server, timeout, times).await;
            }
        }
    });
    ExitCode::SUCCESS
}

async fn wake(times: u32) {
    let mut left = times;
    poll_fn(|cx| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

async fn round_trips<T: transport::StreamTransport>(
    client: Socket<T>,
    server: Socket<T>,
    timeout: Option<Duration>,
    times: u32,
) {
    for end in [&client, &server] {
        end.set_timeout(timeout).expect("it is open");
    }
    drop(spawn(async move {
        let mut buffer = [0; BYTES];
        while let Ok(read @ 1..) = server.read(&mut buffer).await {
            server.write_all(&buffer[..read]).await.expect("the client reads");
        }
    }));
    let mut buffer = [7; BYTES];
    for _ in 0..times {
        client.write_all(&buffer).await.expect("the server reads");
        client.read_exact(&mut buffer).await.expect("the server answers");
    }
}

fn instructions(path: &str, times: u32) -> Option<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().ok()?).args(["--run", path, &times.to_string()]);
    let output = command.output().ok()?;
    let told = String::from_utf8_lossy(&output.stderr);
    // ==42== Collected : 1234567
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok())
}
