//! `examples/serve` as a child process, and the tools that are let loose on it.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::skip;
use rustix::process::{Pid, Signal, kill_process};

/// What no tool takes; it is ended after that.
const SECONDS: &str = "40";

/// A running server; killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// With these arguments, on a port that the kernel chooses.
    pub(crate) fn start<A: AsRef<str>>(arguments: &[A]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command.arg("127.0.0.1:0").args(arguments.iter().map(AsRef::as_ref));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said = lines.next().expect("it says where it listens").expect("in UTF-8");
        let address = said.split('/').nth(2).and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {said:?}"));
        Server { child, lines, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// By the name that the certificate is for.
    pub(crate) fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound on this test");
        stream
    }

    /// Answers at once, whatever else goes on.
    pub(crate) fn is_prompt(&self) -> bool {
        let mut stream = self.connect();
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").expect("sent");
        let began = std::time::Instant::now();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.ends_with("hello\n") && began.elapsed() < Duration::from_secs(2)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end; whether it ended well, and what it said.
    pub(crate) fn ended(mut self) -> (bool, Vec<String>) {
        let said = self.lines.by_ref().map(|line| line.expect("in UTF-8")).collect();
        (self.child.wait().expect("reaped").success(), said)
    }

    /// How many connections the kernel keeps at its port, also those that it has closed and the kernel has not: those that
    /// wait for their names to be free again are not counted.
    pub(crate) fn connections(&self) -> usize {
        const WAITS_FOR_NAME: &str = "06";
        const LISTENS: &str = "0A";
        let ours = format!(":{:04X}", self.address.port());
        let all = fs::read_to_string("/proc/net/tcp").expect("procfs");
        let held = |line: &&str| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().is_some_and(|local| local.ends_with(&ours));
            local && fields.nth(1).is_some_and(|state| state != WAITS_FOR_NAME && state != LISTENS)
        };
        all.lines().filter(held).count()
    }

    /// The largest memory it has had resident, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("procfs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A tool with these arguments, ended after a while; nothing, and a reason printed, if it is not installed.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH")?;
    if !std::env::split_paths(&path).any(|directory| directory.join(name).exists()) {
        skip(&format!("needs {name}"));
        return None;
    }
    let mut command = Command::new("timeout");
    command.args(["-k", "1", SECONDS, name]).stdin(Stdio::null());
    Some(command)
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("coreutils' timeout starts")
}

/// What it printed, on both ways.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory of this test's own, which goes with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("punctual-tools-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file there; its path.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
        fs::write(&path, content).expect("written");
        path.to_str().expect("in UTF-8").to_owned()
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().expect("in UTF-8")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A certificate for `localhost`, its key and the authority's certificate, as files.
pub(crate) struct Identity {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    _directory: Directory,
}

impl Identity {
    pub(crate) fn new() -> Identity {
        let (directory, authority) = (Directory::new(), Authority::new());
        let issued = authority.localhost();
        Identity {
            authority: directory.put("authority.pem", authority.pem()),
            certificate: directory.put("certificate.pem", &issued.certificate_pem),
            key: directory.put("key.pem", &issued.key_pem),
            _directory: directory,
        }
    }

    /// A server that shows it.
    pub(crate) fn server(&self, arguments: &[&str]) -> Server {
        let mut all = vec!["--tls", &self.certificate, &self.key];
        all.extend(arguments);
        Server::start(&all)
    }
}

/// Bytes that repeat nothing of themselves soon, so that what is mixed up is seen.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..count).map(|_| random.u8(..)).collect()
}
