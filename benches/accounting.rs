//! What it costs to know who holds the loop: an echo with the time of every poll accounted, and without, by turns in one
//! run; medians of processor time a request, and the ratio. An echo over loopback may cost 3 % more.
//!
//! ```text
//! cargo bench -p punctual-benches --bench accounting -- [--rounds 201] [--requests 1000] [--instructions]
//! ```
//!
//! Both ends are tasks of one runtime on this thread, so a request is four system calls and two turns or so. Over
//! streams in memory there are no system calls but the turns' own, which makes the cost look larger than any program
//! will see. `--instructions` has valgrind's callgrind count those of user space; it makes a system call of a clock read, so
//! add what the vDSO would need for it, some 60 a read.

use std::process::{Command, ExitCode};
use std::time::Duration;

use punctual_net::{Socket, TcpListener, TcpStream, duplex, transport};
use punctual_reactor::Runtime;
use rustix::time::{ClockId, clock_gettime};

/// How much more an echo over loopback may cost.
const MOST: f64 = 1.03;

const BYTES: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Loopback,
    Memory,
}

impl Wire {
    const ALL: [Wire; 2] = [Wire::Loopback, Wire::Memory];

    fn name(self) -> &'static str {
        match self {
            Wire::Loopback => "loopback",
            Wire::Memory => "memory",
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |flag: &str, default: usize| {
        let at = words.iter().position(|word| word == flag);
        let given = at.map(|at| words.get(at + 1).and_then(|word| word.parse().ok()));
        given.map_or(Some(default), |number: Option<usize>| number.filter(|number| *number > 0))
    };
    let (Some(rounds), Some(requests)) = (number("--rounds", 201), number("--requests", 1_000)) else {
        eprintln!("error: --rounds and --requests take a number above zero");
        return ExitCode::from(2);
    };
    if let Some(at) = words.iter().position(|word| word == "--only") {
        let wire =
            Wire::ALL.into_iter().find(|wire| words.get(at + 1).is_some_and(|word| word == wire.name()));
        let Some(wire) = wire else {
            eprintln!("error: --only takes `loopback` or `memory`");
            return ExitCode::from(2);
        };
        Side::new(wire, words.iter().any(|word| word == "--accounted")).run(requests);
        return ExitCode::SUCCESS;
    }
    if words.iter().any(|word| word == "--instructions") {
        return count_instructions();
    }
    println!(
        "{rounds} rounds of {requests} requests of {BYTES} bytes, on and off by turns; ns of CPU a request"
    );
    let mut good = true;
    for wire in Wire::ALL {
        let (off, on, ratio) = compare(wire, rounds, requests);
        let verdict = match (wire, ratio <= MOST) {
            (Wire::Memory, _) => "",
            (Wire::Loopback, true) => "PASS: at most 1.030",
            (Wire::Loopback, false) => "FAIL: more than 1.030",
        };
        good &= wire == Wire::Memory || ratio <= MOST;
        println!("{:9} off {off:7.0}  on {on:7.0}  ratio {ratio:.4}  {verdict}", wire.name());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The medians of both, and of the ratio of neighbouring rounds, which a machine that changes its speed does not change.
fn compare(wire: Wire, rounds: usize, requests: usize) -> (f64, f64, f64) {
    let sides = [false, true].map(|accounted| Side::new(wire, accounted));
    sides.iter().for_each(|side| side.run(requests));
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Which of them goes first changes as well.
        let mut each = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            each[which] = sides[which].cpu_of(requests).as_nanos() as f64 / requests as f64;
        }
        let [off, on] = each;
        samples.iter_mut().zip([off, on, on / off]).for_each(|(all, one)| all.push(one));
    }
    let [off, on, ratio] = samples.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    (off, on, ratio)
}

/// A runtime on which an echo runs, and a client that is connected to it.
struct Side {
    runtime: Runtime,
    client: Client,
}

enum Client {
    Loopback(TcpStream),
    Memory(punctual_net::Duplex),
}

impl Side {
    fn new(wire: Wire, accounted: bool) -> Side {
        let runtime = Runtime::builder().account_polls(accounted).build().expect("a runtime");
        let client = runtime.block_on(async {
            match wire {
                Wire::Loopback => {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                    let address = listener.local_addr().expect("its address");
                    let client = TcpStream::connect(address).await.expect("it is there");
                    let (server, _) = listener.accept().await.expect("a connection");
                    drop(punctual_reactor::spawn(echo(server)));
                    Client::Loopback(client)
                }
                Wire::Memory => {
                    let (client, server) = duplex(4_096);
                    drop(punctual_reactor::spawn(echo(server)));
                    Client::Memory(client)
                }
            }
        });
        Side { runtime, client }
    }

    /// The processor time of this thread for so many requests.
    fn cpu_of(&self, requests: usize) -> Duration {
        let began = cpu_time();
        self.run(requests);
        cpu_time() - began
    }

    fn run(&self, requests: usize) {
        self.runtime.block_on(async {
            match &self.client {
                Client::Loopback(stream) => ask(stream, requests).await,
                Client::Memory(stream) => ask(stream, requests).await,
            }
        });
    }
}

async fn echo<T: transport::StreamTransport>(stream: Socket<T>) {
    let mut buffer = [0; BYTES];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..read]).await.expect("the client reads");
    }
}

async fn ask<T: transport::StreamTransport>(stream: &Socket<T>, requests: usize) {
    let mut buffer = [7; BYTES];
    for _ in 0..requests {
        stream.write_all(&buffer).await.expect("the server reads");
        let mut read = 0;
        while read < BYTES {
            read += stream.read(&mut buffer[read..]).await.expect("the server answers");
        }
    }
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let usage = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

/// Instructions a request: the difference between two runs of callgrind that differ in their requests.
fn count_instructions() -> ExitCode {
    let (few, many) = (1_000, 3_000);
    for wire in Wire::ALL {
        let counts = [false, true].map(|accounted| {
            let [few_took, many_took] =
                [few, many].map(|requests| instructions(wire, accounted, requests));
            Some((many_took? - few_took?) / f64::from(many - few))
        });
        let [Some(off), Some(on)] = counts else {
            eprintln!("error: valgrind does not run here: install it");
            return ExitCode::FAILURE;
        };
        println!("{:9} off {off:7.0}  on {on:7.0}  instructions a request in user space", wire.name());
    }
    ExitCode::SUCCESS
}

fn instructions(wire: Wire, accounted: bool, requests: u32) -> Option<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().ok()?);
    command.args(["--only", wire.name(), "--requests", &requests.to_string()]);
    command.args(accounted.then_some("--accounted"));
    let output = command.output().ok()?;
    let told = String::from_utf8_lossy(&output.stderr);
    // ==42== Collected : 1234567
    told.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok())
}
