//! The system's files: what they say, and what becomes of lookups while they change.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use punctual::VirtualClock;
use punctual::net::{DnsFailure, Kind};

use super::*;
use crate::support::net::{assert_baseline, on_alarms};
use crate::support::{temporary, virtual_runtime, watchdog};

/// A directory of a test's own, gone when it is dropped.
struct Files(PathBuf);

impl Files {
    fn new(what: &str) -> Files {
        let path = temporary(what);
        fs::create_dir(&path).expect("a directory");
        Files(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("written");
    }

    fn resolver(&self, port: u16) -> ResolverBuilder {
        let files =
            Resolver::builder().hosts_file(self.path("hosts")).nsswitch_conf(self.path("nsswitch"));
        files.resolv_conf(self.path("resolv")).server_port(port).cache_entries(0)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Servers on 127.0.0.1, 127.0.0.2, …, on one port; each answers with its own address.
fn servers(count: u8) -> Vec<Fake> {
    let script = |n: u8| move |asked: &Asked| asked.addresses(&[&format!("192.0.2.{n}")], 60);
    'ports: loop {
        let mut all = vec![Fake::start(script(1))];
        let port = all[0].address.port();
        for n in 2..=count {
            let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port));
            if UdpSocket::bind(address).is_err() || TcpListener::bind(address).is_err() {
                continue 'ports;
            }
            all.push(Fake::start_at(address, script(n)));
        }
        return all;
    }
}

/// Which of the [`servers`] answers.
async fn who(resolver: &Resolver, name: &str) -> u8 {
    match all(resolver, name).await.expect("an answer")[..] {
        [IpAddr::V4(ip)] => ip.octets()[3],
        ref other => panic!("{other:?}"),
    }
}

fn virtually(body: impl AsyncFnOnce(&VirtualClock)) {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(body(&clock));
    assert_baseline(&runtime);
}

const LOOK: Duration = Duration::from_millis(2_500);

#[test]
fn n08_a_change_is_seen_within_five_seconds() {
    virtually(async |clock| {
        let files = Files::new("n08-change");
        let servers = servers(2);
        let resolver = files.resolver(servers[0].address.port()).build();
        assert_eq!(who(&resolver, "a.example").await, 1, "no file: 127.0.0.1");

        let change = async |what: &str, text: &str, expected: u8| {
            files.write("resolv", text);
            clock.advance(LOOK * 2);
            assert_eq!(who(&resolver, "a.example").await, expected, "{what}");
        };
        change("another server", "nameserver 127.0.0.2\n", 2).await;
        change("as long as before", "nameserver 127.0.0.1\n", 1).await;
        change("back", "nameserver 127.0.0.2\n", 2).await;

        // What looks half-written waits for a second look.
        for half in ["", "nameser", "nameserver", "nameserver 127.0.0.", "# empty\n"] {
            files.write("resolv", half);
            clock.advance(LOOK);
            assert_eq!(who(&resolver, "a.example").await, 2, "{half:?}: the last that was whole");
            clock.advance(LOOK);
            assert_eq!(who(&resolver, "a.example").await, 1, "{half:?}: it stays so: 127.0.0.1");
            change("whole again", "nameserver 127.0.0.2\n", 2).await;
        }
        // What cannot be read leaves everything as it was.
        fs::remove_file(files.path("resolv")).expect("removed");
        fs::create_dir(files.path("resolv")).expect("a directory in its place");
        for _ in 0..4 {
            clock.advance(LOOK * 2);
            assert_eq!(who(&resolver, "a.example").await, 2, "a directory");
        }
        fs::remove_dir(files.path("resolv")).expect("removed");
        clock.advance(LOOK);
        assert_eq!(who(&resolver, "a.example").await, 2, "it may be about to be replaced");
        clock.advance(LOOK);
        assert_eq!(who(&resolver, "a.example").await, 1, "it is gone");
    });
}

#[test]
fn n08_resolv_conf_changes() {
    virtually(async |clock| {
        let files = Files::new("n08-storm");
        let servers = servers(2);
        let resolver = files.resolver(servers[0].address.port()).build();
        let (over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let abuse = std::thread::spawn({
            let (path, over, rounds) = (files.path("resolv"), over.clone(), rounds.clone());
            move || {
                let whole = "# a comment\nnameserver 127.0.0.2\noptions timeout:1 attempts:2\n";
                while !over.load(Ordering::Relaxed) {
                    let round = rounds.fetch_add(1, Ordering::Relaxed);
                    let written = match round % 8 {
                        0 => fs::write(&path, whole),
                        1 => fs::write(&path, ""),
                        2 => fs::write(&path, &whole[..round % whole.len()]),
                        3 => fs::remove_file(&path),
                        4 => fs::write(&path, [0xff, 0xfe, 0, b'\n', 0x80]),
                        5 => fs::write(&path, whole.repeat(3_000)),
                        6 => fs::set_permissions(&path, fs::Permissions::from_mode(0o000)),
                        _ => fs::write(path.with_extension("new"), whole)
                            .and_then(|()| fs::rename(path.with_extension("new"), &path)),
                    };
                    // A file that may not be written is replaced.
                    if written.is_err() {
                        drop(fs::remove_file(&path));
                    }
                }
            }
        });
        let mut answers = [0; 2];
        let _watchdog = watchdog("n08", PATIENCE);
        // On a busy machine the other thread may need longer to get that far.
        while answers[0] + answers[1] < 1_000
            || answers.contains(&0)
            || rounds.load(Ordering::Relaxed) < 100
        {
            clock.advance(LOOK / 3);
            answers[usize::from(who(&resolver, "a.example").await) - 1] += 1;
        }
        over.store(true, Ordering::Relaxed);
        abuse.join().expect("no panic");
        // It may be one that may not be written.
        drop(fs::remove_file(files.path("resolv")));
        files.write("resolv", "nameserver 127.0.0.2\n");
        clock.advance(LOOK * 2);
        assert_eq!(who(&resolver, "a.example").await, 2, "and the last word is heard");
    });
}

#[test]
fn options_of_resolv_conf_are_obeyed() {
    on_alarms("options", async |_| {
        let files = Files::new(&format!("options-{:?}", std::thread::current().id()));
        let servers = servers(3);
        let port = servers[0].address.port();
        let asked = || servers.iter().map(Fake::count).collect::<Vec<_>>();

        files.write(
            "resolv",
            "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\noptions rotate\n",
        );
        let resolver = files.resolver(port).build();
        for n in 0..6 {
            drop(all(&resolver, &format!("name-{n}.example")).await);
        }
        assert_eq!(asked(), [4, 4, 4], "each begins with the next");
        let resolver = asking(&[&servers[1], &servers[2]]).rotate(true).build();
        for n in 0..4 {
            drop(all(&resolver, &format!("name-{n}.example")).await);
        }
        assert_eq!(asked(), [4, 8, 8], "also if there are two");

        files.write("resolv", "nameserver 127.0.0.1\noptions no-aaaa use-vc\n");
        let resolver = files.resolver(port).build();
        assert_eq!(who(&resolver, "a.example").await, 1);
        assert_eq!((asked()[0], resolver.metrics().queries_over_tcp), (5, 1), "one question, over TCP");
        let read = punctual::phases().into_iter().any(|record| record.phase == "read");
        assert!(!read, "what a lookup reads is no phase of its own");

        files.write("resolv", "search one.example two.example\noptions ndots:2\nnameserver 127.0.0.1\n");
        let resolver = files.resolver(port).build();
        assert_eq!(who(&resolver, "a.b").await, 1);
        assert!(servers[0].asked()[5..].iter().all(|asked| asked.is("a.b.one.example")));
    });
}

#[test]
fn the_search_list_goes_on_where_a_name_is_not_there() {
    on_alarms("search", async |_| {
        let server = Fake::start(|asked| {
            if asked.is("host.two.example") || asked.is("empty.example") && asked.kind == A {
                return Act::from(asked.addresses(&["192.0.2.2"], 60));
            }
            if asked.is("host.failing.example") {
                return Act::from(asked.code(SERVFAIL));
            }
            if asked.name.to_ascii_lowercase().ends_with("silent.example") {
                return Act::Nothing;
            }
            Act::from(asked.code(NXDOMAIN).soa("example", 60, 60))
        });
        let searching = |domains: &[&str]| {
            asking(&[&server]).search(domains.iter().copied()).attempts(1).try_timeout(SHORT).build()
        };
        let tried = async |domains: &[&str], name: &str| {
            let before = server.count();
            let result = all(&searching(domains), name).await;
            let mut names: Vec<String> =
                server.asked()[before..].iter().map(|asked| asked.name.to_ascii_lowercase()).collect();
            names.dedup();
            (result, names.join(" "))
        };
        let (found, names) = tried(&["one.example", "two.example", "three.example"], "host").await;
        assert_eq!(
            (found.expect("in the second"), &*names),
            (ips(&["192.0.2.2"]), "host.one.example host.two.example")
        );
        let (found, names) = tried(&["failing.example", "two.example"], "host").await;
        assert_eq!(
            (found.expect("in the second"), &*names),
            (ips(&["192.0.2.2"]), "host.failing.example host.two.example")
        );
        let (found, names) = tried(&["silent.example", "two.example"], "host").await;
        assert_eq!(
            (why(&found), &*names),
            ((Kind::Dns, Some(DnsFailure::NoAnswer)), "host.silent.example")
        );
        let (found, names) = tried(&["one.example"], "a.b").await;
        assert_eq!(
            (why(&found), &*names),
            ((Kind::Dns, Some(DnsFailure::NoSuchName)), "a.b a.b.one.example")
        );
        let (found, names) = tried(&["one.example"], "host.").await;
        assert_eq!((why(&found), &*names), ((Kind::Dns, Some(DnsFailure::NoSuchName)), "host"));
        let (found, names) = tried(&["failing.example", "one.example"], "host").await;
        assert_eq!(why(&found), (Kind::Dns, Some(DnsFailure::ServerFailure)), "it may be there");
        assert_eq!(names, "host.failing.example host.one.example host");
    });
}

#[test]
fn files_come_first_and_nsswitch_says_so() {
    virtually(async |clock| {
        let files = Files::new("nsswitch");
        let servers = servers(1);
        let resolver = files.resolver(servers[0].address.port()).build();
        files.write("hosts", "192.0.2.77 Known.example alias\n2001:db8::77 known.example\n");
        assert_eq!(
            all(&resolver, "KNOWN.example.").await.expect("listed"),
            ips(&["192.0.2.77", "2001:db8::77"])
        );
        assert_eq!(all(&resolver, "alias").await.expect("listed"), ips(&["192.0.2.77"]));
        assert_eq!(servers[0].count(), 0, "nobody was asked");

        files.write("hosts", "192.0.2.78 known.example\n");
        clock.advance(LOOK * 2);
        assert_eq!(all(&resolver, "known.example").await.expect("listed anew"), ips(&["192.0.2.78"]));

        files.write("nsswitch", "hosts: dns files\n");
        clock.advance(LOOK * 2);
        assert_eq!(who(&resolver, "known.example").await, 1, "DNS first");

        files.write("nsswitch", "hosts: files\n");
        clock.advance(LOOK * 2);
        let before = servers[0].count();
        let unlisted = all(&resolver, "unlisted.example").await;
        assert_eq!(why(&unlisted), (Kind::Dns, Some(DnsFailure::NoSuchName)));
        assert_eq!(servers[0].count(), before);

        // What only the system's library knows is left to it, and it has its own idea of what is there.
        files.write("nsswitch", "hosts: files ldap\n");
        clock.advance(LOOK * 2);
        assert_eq!(all(&resolver, "192.0.2.9").await.expect("no name"), ips(&["192.0.2.9"]));
        let local = Resolver::system_library().lookup("localhost").await.expect("this host");
        assert!(local.ips().all(|ip| ip.is_loopback()));
    });
}

#[test]
fn names_that_are_special_are_not_asked_for() {
    on_alarms("special", async |_| {
        let server = Fake::silent();
        let resolver = asking(&[&server]).build();
        for name in ["localhost", "LOCALHOST.", "a.b.localhost"] {
            assert_eq!(all(&resolver, name).await.expect("this host"), ips(&["::1", "127.0.0.1"]));
        }
        assert_eq!(all(&resolver, "2001:db8::1").await.expect("itself"), ips(&["2001:db8::1"]));
        let refused = [
            ("no-such.invalid", Kind::Dns, Some(DnsFailure::NoSuchName)),
            ("hidden.onion", Kind::Dns, Some(DnsFailure::NotAsked)),
            ("<html>.example", Kind::InvalidInput, None),
            ("nul\0.example", Kind::InvalidInput, None),
            ("line\nbreak", Kind::InvalidInput, None),
            ("bücher.example", Kind::InvalidInput, None),
            ("", Kind::InvalidInput, None),
        ];
        for (name, kind, failure) in refused {
            let error = all(&resolver, name).await;
            assert_eq!(why(&error), (kind, failure), "{name:?}");
            let error = error.expect_err("refused");
            assert!(!error.is_retry_safe() && !error.to_string().contains(char::is_control), "{error}");
        }
        assert_eq!(server.count(), 0, "nobody was asked");
    });
}
