//! What the rest of the world does to a lookup: a process that ends, a real server, descriptors that run out,
//! packets that are not let out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Instant as StdInstant;

use punctual::net::{Connect, DnsFailure, Kind, Phase};
use punctual::{Runtime, sleep, spawn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::support::child::{self, Talking};
use crate::support::namespace::{inside_namespace, sh};
use crate::support::net::{assert_baseline, listen, on_alarms};
use crate::support::{skip, temporary};

/// How long a process may take to end while a lookup hangs.
const EXIT: Duration = Duration::from_millis(50);
const CHILDREN: usize = 5;

/// Starts the child that plays `role` a few times; returns how long each took from its last word to its end.
fn exits(wrapper: &[&str], test: &str, role: &str) -> Vec<Duration> {
    let one = |_| {
        let mut talking = Talking::start(child::wrapped(wrapper, test, role));
        talking.wait_for("leaving");
        let leaving = StdInstant::now();
        let status = talking.child.wait().expect("its end");
        let took = leaving.elapsed();
        assert!(status.success(), "{status}");
        took
    };
    let mut took: Vec<Duration> = (0..CHILDREN).map(one).collect();
    took.sort_unstable();
    println!("{role}: from its last word to its end {took:?}");
    took
}

#[test]
fn exit_within_50_ms_while_a_lookup_hangs() {
    let test = "dns::outside::exit_within_50_ms_while_a_lookup_hangs";
    if child::plays("idle") {
        // The control: it starts and ends, and looks nothing up.
        let runtime = Runtime::new().expect("a runtime");
        return runtime.block_on(async { child::say("leaving") });
    }
    if child::plays("hanging") {
        let silent = Fake::silent();
        let runtime = Runtime::new().expect("a runtime");
        return runtime.block_on(async {
            let resolver = asking(&[&silent]).build();
            let hanging = spawn(async move { all(&resolver, "a.example").await });
            while silent.count() < 2 {
                sleep(MS).await;
            }
            drop(hanging);
            child::say("leaving");
        });
    }
    let (idle, hanging) = (exits(&[], test, "idle"), exits(&[], test, "hanging"));
    assert!(
        hanging[CHILDREN / 2] <= EXIT.max(idle[CHILDREN / 2] * 3),
        "{hanging:?}, an idle one {idle:?}"
    );
}

/// The same with a `getaddrinfo` that is stuck: its server is silent.
#[test]
fn exit_within_50_ms_while_getaddrinfo_hangs() {
    let test = "dns::outside::exit_within_50_ms_while_getaddrinfo_hangs";
    if child::plays("stuck") {
        put_files("", "nameserver 127.0.0.1\n", "hosts: dns\n");
        let silent = UdpSocket::bind("127.0.0.1:53").expect("port 53 of one's own");
        silent.set_nonblocking(true).expect("set");
        return Runtime::new().expect("a runtime").block_on(async {
            let lookup = Resolver::system_library().lookup("hangs.example");
            let hanging = spawn(lookup);
            while silent.recv(&mut [0; 512]).is_err() {
                sleep(MS).await;
            }
            assert!(!hanging.is_finished());
            drop(hanging);
            child::say("leaving");
        });
    }
    if !files_can_be_put() {
        return;
    }
    let idle = exits(&OWN_FILES, "dns::outside::exit_within_50_ms_while_a_lookup_hangs", "idle");
    let stuck = exits(&OWN_FILES, test, "stuck");
    assert!(stuck[CHILDREN / 2] <= EXIT.max(idle[CHILDREN / 2] * 3), "{stuck:?}, an idle one {idle:?}");
}

/// A way into a namespace where the system's files are this test's: `hosts`, `resolv.conf` and `nsswitch.conf`.
const OWN_FILES: [&str; 3] = ["unshare", "-n", "-m"];

/// In there: puts the files in their places.
fn put_files(hosts: &str, resolv_conf: &str, nsswitch: &str) {
    let own = temporary("etc");
    fs::create_dir_all(&own).expect("a directory");
    sh("ip link set lo up");
    for (name, text) in [("hosts", hosts), ("resolv.conf", resolv_conf), ("nsswitch.conf", nsswitch)] {
        fs::write(own.join(name), text).expect("written");
        sh(&format!("mount --bind {}/{name} /etc/{name}", own.display()));
    }
    // What is mounted stays.
    fs::remove_dir_all(&own).expect("removed");
}

/// Whether there is a way in, from outside.
fn files_can_be_put() -> bool {
    let probe = [
        "sh",
        "-ec",
        "ip link set lo up; mount --bind /etc/hosts /etc/resolv.conf; mount --bind /etc/hosts /etc/nsswitch.conf",
    ];
    let works = Command::new(OWN_FILES[0]).args(&OWN_FILES[1..]).args(probe).output();
    let works = works.is_ok_and(|output| output.status.success());
    if !works {
        skip("no namespace with mounts and ip here; root, with iproute2 installed, would run it");
    }
    works
}

/// A connect that is told nothing does as `/etc` says.
#[test]
fn a_connect_does_as_the_files_of_the_system_say() {
    let test = "dns::outside::a_connect_does_as_the_files_of_the_system_say";
    if !child::plays("system") {
        if files_can_be_put() {
            child::succeed(child::wrapped(&OWN_FILES, test, "system"));
        }
        return;
    }
    put_files(
        "127.0.0.1 listed.example\n",
        "nameserver 127.0.0.1\nsearch corp.example\noptions timeout:1\n",
        "hosts: files dns\n",
    );
    let server = Fake::start_at("127.0.0.1:53".parse().expect("an address"), |asked| {
        match (asked.is("asked.corp.example"), asked.kind) {
            (true, A) => asked.addresses(&["127.0.0.1"], 60),
            (true, _) => asked.answer().soa("example", 60, 60),
            (false, _) => asked.code(NXDOMAIN).soa("example", 60, 60),
        }
    });
    // One after the other: the port is there once.
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen();
        for (name, questions) in [("listed.example", 0), ("asked", 2), ("asked", 2)] {
            let stream = Connect::to((name, address.port())).connect().await.expect(name);
            assert_eq!((stream.peer_addr(), server.count()), (address, questions), "{name}");
            drop(listener.accept().await.expect("accepted"));
        }
        let none = Connect::to("none.example:80").connect().await.expect_err("it is not there");
        assert_eq!(
            (none.kind(), none.dns_failure()),
            (Kind::Dns, Some(DnsFailure::NoSuchName)),
            "{none}"
        );
    });
    assert_baseline(&runtime);
    // Another runtime remembers nothing of this one's: it may have another clock.
    let before = server.count();
    Runtime::new().expect("a runtime").block_on(async {
        drop(Connect::to("asked:9").connect().await);
    });
    assert_eq!(server.count(), before + 2);
}

/// Debian's dnsmasq; it ends when it is dropped.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Dnsmasq {
    fn start(records: &[String]) -> Result<Dnsmasq, String> {
        let paths = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq", "/sbin/dnsmasq"];
        let Some(path) = paths.into_iter().find(|path| fs::exists(path).unwrap_or(false)) else {
            return Err("no dnsmasq here; Debian's dnsmasq-base installed would run it".into());
        };
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = tcp.local_addr().expect("its address");
            drop(tcp);
            let mut command = Command::new(path);
            command.args([
                "--no-daemon",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file",
            ]);
            command.args([
                "--bind-interfaces",
                "--listen-address=127.0.0.1",
                "--local=/test.example/",
                "--user=",
            ]);
            command.arg(format!("--port={}", address.port())).args(records);
            let mut child =
                command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
            let log = BufReader::new(child.stderr.take().expect("it was piped"));
            let mut lines = log.lines().map_while(Result::ok);
            if lines.any(|line| line.contains("started, version")) {
                // What it has to say later goes nowhere.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Dnsmasq { child, address });
            }
            let status = child.wait().expect("its end");
            assert_eq!(status.code(), Some(2), "the port may have been taken meanwhile");
        }
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_real_server_is_understood() {
    let mut records: Vec<String> = [
        "--host-record=here.test.example,127.0.0.1,60",
        "--host-record=both.test.example,192.0.2.1,2001:db8::1,60",
        "--cname=alias.test.example,both.test.example,60",
        "--txt-record=text.test.example,words",
    ]
    .map(String::from)
    .into();
    // More than fit into 1232 bytes.
    records.extend((0..100).map(|n| format!("--host-record=many.test.example,198.51.100.{n}")));
    let server = match Dnsmasq::start(&records) {
        Ok(server) => server,
        Err(why) => return skip(&why),
    };
    on_alarms("dnsmasq", async |_| {
        let resolver = asking_at([server.address]).build();
        assert_eq!(
            all(&resolver, "both.test.example").await.expect("known"),
            ips(&["2001:db8::1", "192.0.2.1"])
        );
        assert_eq!(
            all(&resolver, "alias.test.example").await.expect("known"),
            ips(&["2001:db8::1", "192.0.2.1"])
        );
        let many = all(&resolver, "many.test.example").await.expect("known");
        assert_eq!((many.len(), resolver.metrics().truncated), (100, 1), "over TCP");
        let none = all(&resolver, "none.test.example").await;
        assert_eq!(why(&none), (Kind::Dns, Some(DnsFailure::NoSuchName)), "{none:?}");
        let empty = all(&resolver, "text.test.example").await;
        assert_eq!(why(&empty), (Kind::Dns, Some(DnsFailure::NoAddress)), "{empty:?}");
        let foreign = all(&resolver, "elsewhere.example").await;
        assert_eq!(
            why(&foreign),
            (Kind::Dns, Some(DnsFailure::ServerFailure)),
            "it has nobody to ask: {foreign:?}"
        );
        let sentence = foreign.expect_err("refused").to_string();
        assert!(sentence.contains(" answered REFUSED, 2 tries"), "{sentence}");
        assert_eq!(resolver.metrics().ignored, 0);

        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let connect = Connect::to(("here.test.example", address.port())).resolver(&resolver);
        assert_eq!(connect.await.expect("connected").peer_addr(), address);
        accepting.await.expect("no panic").expect("accepted");
    });
}

#[test]
fn r02_emfile_on_the_socket_of_a_query() {
    if !child::plays("emfile") {
        let test = "dns::outside::r02_emfile_on_the_socket_of_a_query";
        return child::succeed(child::command(test, "emfile"));
    }
    let server = Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let resolver = asking(&[&server]).cache_entries(0).build();
        all(&resolver, "a.example").await.expect("room for sockets");
        let unlimited = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: Some(64), maximum: unlimited.maximum };
        setrlimit(Resource::Nofile, limit).expect("lowered");
        let hoard: Vec<_> =
            std::iter::repeat_with(|| fs::File::open("/dev/null")).map_while(Result::ok).collect();
        for _ in 0..3 {
            let error = resolver.lookup("a.example").await.expect_err("no descriptor is left");
            assert_eq!(
                (error.kind(), error.phase()),
                (Kind::Kernel(libc::EMFILE), Phase::Resolve),
                "{error}"
            );
            assert!(error.is_retry_safe() && resolver.metrics().in_flight == 0, "{error}");
        }
        drop(hoard);
        assert_eq!(all(&resolver, "a.example").await.expect("room again"), ips(&["192.0.2.1"]));
        setrlimit(Resource::Nofile, unlimited).expect("as it was");
    });
    assert_baseline(&runtime);
}

#[test]
fn r03_packets_that_are_not_let_out() {
    if !inside_namespace("dns::outside::r03_packets_that_are_not_let_out") {
        return;
    }
    on_alarms("r03", async |_| {
        let (barred, good) = (Fake::silent(), Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60)));
        let port = barred.address.port();
        for how in ["drop", "reject"] {
            sh(&format!(
                "nft add table inet dns{port}
                 nft add chain inet dns{port} out '{{ type filter hook output priority 0; }}'
                 nft add rule inet dns{port} out udp dport {port} {how}"
            ));
            let resolver = asking(&[&barred, &good]).build();
            assert_eq!(all(&resolver, "a.example").await.expect(how), ips(&["192.0.2.1"]));
            let failed = all(&asking(&[&barred]).build(), "b.example").await;
            assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::NoAnswer)));
            let error = failed.expect_err("nothing is let out");
            assert!(
                error.is_retry_safe() && error.to_string().contains("Operation not permitted"),
                "{how}: {error}"
            );
            sh(&format!("nft delete table inet dns{port}"));
            let failed = all(&asking(&[&barred]).try_timeout(SHORT).build(), "c.example").await;
            assert!(failed.expect_err("it is silent").to_string().contains("did not answer"));
        }
        assert_eq!(barred.count(), 2 * 2 * 2, "it heard nothing but the last");
    });
}
