//! OpenSSL as the other side: `s_client` and `s_server`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use punctual::Runtime;
use punctual::net::{Connect, Error, Kind, TcpListener};
use punctual::tls::{Acceptor, Connector, TlsStream};
use punctual_tests_http::certificates::{Authority, Files};
use punctual_tests_http::rig::{PATIENCE, assert_baseline, skip, watchdog};

use crate::rig::read_all;

fn is_here() -> bool {
    let here =
        Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !here {
        skip("openssl is not installed");
    }
    here
}

/// A process that talks: what it says on both of its outputs, line by line.
struct Talking {
    child: Child,
    says: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talking {
    fn start(arguments: &[&str]) -> Talking {
        // What it says through `printf` would stay with it otherwise.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "openssl"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl starts");
        let (heard, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it was piped")),
            Box::new(child.stderr.take().expect("it was piped")),
        ];
        for output in outputs {
            let heard = heard.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = heard.send(line);
                }
            });
        }
        let says = child.stdin.take();
        Talking { child, says, lines }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.says.as_mut().expect("it listens");
        stdin.write_all(line.as_bytes()).expect("room");
        stdin.flush().expect("room");
    }

    /// Waits until it says this.
    fn wait_for(&mut self, word: &str) -> String {
        let mut all = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE / 3);
            let line = line.unwrap_or_else(|_| panic!("it never said {word:?}:\n{all}"));
            if line.contains(word) {
                return line;
            }
            all += &line;
            all.push('\n');
        }
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Echoed = (Vec<u8>, Result<(), Error>);

/// A server of ours that sends back what comes, for one connection: what came, and how it ended.
fn echo(acceptor: Acceptor) -> (SocketAddr, JoinHandle<Echoed>) {
    let (told, address) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = Runtime::new().expect("a runtime");
        let ended = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            told.send(listener.local_addr().expect("its address")).expect("somebody waits");
            let (stream, _) = listener.accept().await.expect("a connection");
            let stream = match acceptor.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => return (Vec::new(), Err(error)),
            };
            let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) => break,
                    Ok(read) => {
                        all.extend_from_slice(&buffer[..read]);
                        stream.write_all(&buffer[..read]).await.expect("room");
                    }
                    Err(error) => return (all, Err(error)),
                }
            }
            (all, stream.shutdown().await)
        });
        assert_baseline(&runtime);
        ended
    });
    (address.recv().expect("it listens"), thread)
}

#[test]
fn l_openssl_s_client_speaks_to_our_server_and_changes_its_keys() {
    if !is_here() {
        return;
    }
    let _watchdog = watchdog("s_client", PATIENCE / 10);
    let (authority, files) = (Authority::new(), Files::new());
    let ca = files.write("ca.pem", authority.pem());
    for version in ["-tls1_3", "-tls1_2"] {
        let (address, server) = echo(authority.localhost().acceptor());
        let address = address.to_string();
        let ca = ca.to_str().expect("UTF-8");
        let mut client = Talking::start(&[
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-CAfile",
            ca,
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            version,
        ]);
        client.wait_for("Verify return code: 0 (ok)");
        client.say("hello\n");
        client.wait_for("hello");
        let mut expected = "hello\n".to_owned();
        if version == "-tls1_3" {
            // With and without a request to do the same (RFC 8446, section 4.6.3).
            for (command, word) in [("K\n", "world"), ("k\n", "again"), ("K\n", "and again")] {
                client.say(command);
                client.wait_for("KEYUPDATE");
                client.say(&format!("{word}\n"));
                client.wait_for(word);
                expected += &format!("{word}\n");
            }
        }
        client.say("Q\n");
        let (all, ended) = server.join().expect("no panic");
        ended.unwrap_or_else(|error| panic!("{version}: {error}"));
        assert_eq!(String::from_utf8_lossy(&all), expected);
        assert!(client.child.wait().expect("its end").success());
    }
}

#[test]
fn l_openssl_s_client_without_close_notify_is_cut_short() {
    if !is_here() {
        return;
    }
    let _watchdog = watchdog("s_client killed", PATIENCE / 10);
    let (address, server) = echo(Authority::new().localhost().acceptor());
    let mut client = Talking::start(&["s_client", "-connect", &address.to_string()]);
    client.say("hello\n");
    client.wait_for("hello");
    client.child.kill().expect("it runs");
    let (all, ended) = server.join().expect("no panic");
    let error = ended.expect_err("it had no time for a close_notify");
    assert_eq!((&all[..], error.kind()), (&b"hello\n"[..], Kind::UnexpectedEof), "{error}");
}

#[test]
fn l_openssl_s_client_shows_its_certificate() {
    if !is_here() {
        return;
    }
    let _watchdog = watchdog("s_client -cert", PATIENCE / 10);
    let (authority, files) = (Authority::new(), Files::new());
    let identity = authority.client();
    let certificate = files.write("client.pem", &identity.certificate_pem);
    let key = files.write("client.key", &identity.key_pem);
    let acceptor = authority.acceptor_with_client_certificates(&authority.localhost());
    let (address, server) = echo(acceptor.clone());
    let [certificate, key] = [&certificate, &key].map(|path| path.to_str().expect("UTF-8"));
    let mut client = Talking::start(&[
        "s_client",
        "-connect",
        &address.to_string(),
        "-cert",
        certificate,
        "-key",
        key,
    ]);
    client.say("hello\n");
    client.wait_for("hello");
    client.say("Q\n");
    server.join().expect("no panic").1.expect("a clean end");
    let (address, server) = echo(acceptor);
    let mut client = Talking::start(&["s_client", "-connect", &address.to_string()]);
    let error = server.join().expect("no panic").1.expect_err("it has shown none");
    assert!(error.to_string().contains("the peer has shown no certificate"), "{error}");
    client.wait_for("certificate required");
}

/// Runs `body` with a stream of ours to `openssl s_server` with `arguments`.
fn with_s_server(
    connector: &Connector,
    arguments: &[&str],
    body: impl AsyncFnOnce(Result<TlsStream, Error>, &mut Talking),
) {
    let mut server = Talking::start(&[&["s_server", "-accept", "127.0.0.1:0"], arguments].concat());
    let line = server.wait_for("ACCEPT");
    let (_, port) = line.rsplit_once(':').expect("an address");
    let port: u16 = port.trim().parse().expect("a port");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let connect = Connect::to(("127.0.0.1", port));
        let stream = connector.connect_to(connect).server_name("localhost").await;
        body(stream, &mut server).await;
    });
    assert_baseline(&runtime);
}

#[test]
fn l_our_client_speaks_to_openssl_s_server() {
    if !is_here() {
        return;
    }
    let _watchdog = watchdog("s_server", PATIENCE / 10);
    let (authority, files) = (Authority::new(), Files::new());
    let shown = authority.localhost();
    let ca = files.write("ca.pem", authority.pem());
    let certificate = files.write("server.pem", &shown.certificate_pem);
    let key = files.write("server.key", &shown.key_pem);
    let [ca, certificate, key] = [&ca, &certificate, &key].map(|path| path.to_str().expect("UTF-8"));
    let base = ["-cert", certificate, "-key", key];
    let connector = Connector::with_roots_from_pem_file(ca).expect("a root").alpn(["h2", "http/1.1"]);
    for version in ["-tls1_3", "-tls1_2"] {
        let arguments = [&base[..], &[version, "-rev", "-alpn", "http/1.1"]].concat();
        with_s_server(&connector, &arguments, async |stream, _| {
            let stream = stream.unwrap_or_else(|error| panic!("{version}: {error}"));
            assert_eq!(stream.alpn_protocol(), Some(&b"http/1.1"[..]));
            stream.write_all(b"stressed\n").await.expect("room");
            let mut answer = [0; 9];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(&answer, b"desserts\n");
            stream.shutdown().await.expect("an end");
            let (all, ended) = read_all(&stream).await;
            assert!(all.is_empty() && ended.is_ok(), "{ended:?}");
        });
    }
    // The server changes its keys and asks us to change ours; our next write does.
    with_s_server(&connector, &[&base[..], &["-tls1_3"]].concat(), async |stream, server| {
        let stream = stream.expect("a handshake");
        for (number, command) in ["K\n", "k\n", "K\n"].into_iter().enumerate() {
            server.say(command);
            server.wait_for("SSL_do_handshake -> 1");
            server.say(&format!("word {number}\n"));
            let mut word = [0; 7];
            stream.read_exact(&mut word).await.expect("a word");
            assert_eq!(word, *format!("word {number}\n").as_bytes());
            stream.write_all(format!("heard {number}\n").as_bytes()).await.expect("room");
            server.wait_for(&format!("heard {number}"));
        }
        server.say("Q\n");
        // It ends the connection without a close_notify.
        let error = read_all(&stream).await.1.expect_err("cut short");
        assert_eq!(error.kind(), Kind::UnexpectedEof, "{error}");
    });
    // A server that wants to know who we are.
    let strict = [&base[..], &["-Verify", "1", "-verify_return_error", "-CAfile", ca, "-rev"]].concat();
    let identity = authority.client();
    let known = connector.clone().client_certificate(vec![identity.certificate], identity.key);
    with_s_server(&known, &strict, async |stream, _| {
        let stream = stream.expect("a handshake");
        stream.write_all(b"ab\n").await.expect("room");
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"ba\n");
    });
    with_s_server(&connector, &strict, async |stream, _| {
        // In TLS 1.3 it is known at the first read.
        let error = match stream {
            Ok(stream) => stream.read(&mut [0; 8]).await.expect_err("refused"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), Kind::Tls, "{error}");
        assert!(error.to_string().contains("it wants a certificate of ours"), "{error}");
    });
    // Nothing in common: only what is too old.
    with_s_server(
        &connector,
        &[&base[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat(),
        async |stream, _| {
            let error = stream.expect_err("TLS 1.1");
            assert_eq!(error.kind(), Kind::Tls, "{error}");
            println!("{error}");
        },
    );
}
