//! Debian's nginx as the other side: a child process with a configuration, certificate and directory of its own.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use punctual::tls::Connector;
use rustix::process::{Pid, Signal, kill_process};

use crate::certificates::Authority;
use crate::rig::{MS, now_ns, since, skip};

/// How long nginx may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx; it is stopped when this is dropped.
pub struct Nginx {
    /// In the clear.
    pub http: SocketAddr,
    /// Under TLS, with HTTP/2 and HTTP/1.1 by ALPN; it is `localhost` to whoever [trusts](Nginx::connector) it.
    pub https: SocketAddr,
    /// What it serves lies in `html` of it, what it logs in `access.log` and `error.log`.
    pub directory: PathBuf,
    authority: Authority,
    child: Child,
}

impl Nginx {
    /// With these directives in its `server` block. Nothing, and a reason printed, if it is not installed.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(server: &str) -> Option<Nginx> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            skip("needs nginx (Debian: nginx-light)");
            return None;
        }
        let mut log = String::new();
        // A free port may be taken by somebody else meanwhile.
        for _ in 0..5 {
            let mut nginx = Nginx::spawn(server);
            if nginx.has_begun() {
                return Some(nginx);
            }
            log = fs::read_to_string(nginx.directory.join("error.log")).unwrap_or_default();
        }
        panic!("nginx does not start: {log}")
    }

    fn spawn(server: &str) -> Nginx {
        let directory = new_directory();
        let authority = Authority::new();
        let issued = authority.localhost();
        let [http, https] = free_ports();
        let files = [
            ("certificate.pem", issued.certificate_pem),
            ("key.pem", issued.key_pem),
            // Of whoever issued it, for programs that want that in a file.
            ("authority.pem", authority.pem()),
            ("nginx.conf", configuration(server, http, https)),
        ];
        for (name, contents) in files {
            fs::write(directory.join(name), contents).expect("written");
        }
        let child = spawn(&directory);
        Nginx { http, https, directory, authority, child }
    }

    /// `http://127.0.0.1:…` and `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// `https://localhost:…` and `path`.
    #[must_use]
    pub fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https.port())
    }

    /// Puts a file where `/name` finds it.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn serve_file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.join("html").join(name), bytes).expect("written");
    }

    /// The file that `/name` names.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.join("html").join(name)).expect("a file")
    }

    /// A line for each request that has been answered: its connection's number, the how manieth it was on it, the status,
    /// the protocol, the request line.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// `SIGHUP`: new workers take over, the old ones end their requests.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// `SIGQUIT`: it ends its requests, and then itself.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// What trusts its certificate.
    #[must_use]
    pub fn connector(&self) -> Connector {
        self.authority.connector()
    }

    fn has_begun(&mut self) -> bool {
        let began = now_ns();
        loop {
            match TcpStream::connect(self.https) {
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => panic!("nginx: {error}"),
            }
            if self.child.try_wait().expect("a child").is_some() {
                return false;
            }
            assert!(since(began) < PATIENCE, "nginx does not listen");
            std::thread::sleep(5 * MS);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = now_ns();
        while !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            if since(began) > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(5 * MS);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// It must not outlive the test, whatever becomes of that.
fn spawn(directory: &Path) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "nginx", "-p"]).arg(directory).args(["-c", "nginx.conf", "-e"]);
    command.arg(directory.join("error.log")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("setpriv (Debian: util-linux)")
}

fn new_directory() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("punctual-nginx-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("html")).expect("a directory");
    directory
}

fn free_ports() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address"))
}

fn configuration(server: &str, http: SocketAddr, https: SocketAddr) -> String {
    format!(
        "daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    log_format lines '$connection $connection_requests $status $server_protocol $request';
    access_log access.log lines;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 16m;
    default_type application/octet-stream;
    server {{
        listen {http};
        listen {https} ssl http2;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        root html;
        {server}
    }}
}}
"
    )
}
