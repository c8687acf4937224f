//! The page of the drift, in a browser.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use punctual::{sleep, spawn, spawn_named};

use super::*;
use crate::support::{temporary, watchdog};

/// A browser that does not come up, or does not end, is ended.
const BROWSER: Duration = Duration::from_secs(100);
const SIZE: (u32, u32) = (1280, 900);

type Pixel = [u8; 3];
const PAPER: Pixel = [0xfd, 0xfd, 0xfb];
const INK: Pixel = [0x1f, 0x29, 0x33];
const TEAL: Pixel = [0x0b, 0x7a, 0x75];
const SLATE: Pixel = [0x7d, 0x8f, 0xa3];
const BRICK: Pixel = [0xb8, 0x4a, 0x39];
const NIGHT: Pixel = [0x14, 0x18, 0x1c];

/// Runs chromium on `url`, which talks to nobody but the loopback; what it printed.
fn chromium(url: &str, arguments: &[&str]) -> String {
    let profile = Directory::new();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        &format!("--window-size={},{}", SIZE.0, SIZE.1),
        &format!("--user-data-dir={}", profile.0.display()),
    ]);
    let output = profile.0.join("output");
    let file = std::fs::File::create(&output).expect("created");
    command.args(arguments).arg(url).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
    // With all its children, to be ended as one.
    let mut browser = command.process_group(0).spawn().expect("chromium starts");
    let began = now_ns();
    let ended = loop {
        if let Some(status) = browser.try_wait().expect("its status") {
            break Some(status);
        }
        if Duration::from_nanos(now_ns() - began) > BROWSER {
            break None;
        }
        std::thread::sleep(10 * MS);
    };
    let group = rustix::process::Pid::from_child(&browser);
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    let _ = browser.wait();
    let printed = std::fs::read_to_string(&output).expect("read");
    assert!(ended.is_some_and(|status| status.success()), "chromium: {ended:?}: {printed}");
    printed
}

/// A directory of its own, gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let path = temporary("page");
        std::fs::create_dir(&path).expect("created");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A loop with a task on it that blocks for 50 ms now and then, and the endpoint; runs `look`, which blocks, beside it. `None`
/// if there is no browser here. `look` is told where the culprit was spawned, too.
fn beside_a_culprit(look: impl FnOnce(SocketAddr, &str) + Send + 'static) {
    if !Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("chromium is not here: install it");
    }
    let _watchdog = watchdog("the page in a browser", BROWSER / 2);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let tasks: Vec<_> = (1..20_u32).map(|n| spawn(fire(n * MS))).collect();
        let line = line!() + 1;
        let culprit = spawn_named("the <culprit>", async {
            loop {
                sleep(100 * MS).await;
                std::thread::sleep(50 * MS);
            }
        });
        let place = format!("{}:{line}:", file!());
        sleep(500 * MS).await;
        let looked = blocking(move || look(address, &place)).await;
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        culprit.abort();
        let _ = culprit.await;
        endpoint.stop().await.expect("it had not failed");
        looked.expect("what is seen is what was to be seen");
    });
    assert_baseline(&runtime);
}

async fn fire(every: Duration) {
    loop {
        sleep(every).await;
    }
}

fn fired(page: &str) -> Vec<u64> {
    let figures = page.split("<dt>fired</dt><dd>").skip(1);
    let digits = |text: &str| -> String {
        text.chars().take_while(|c| *c != '<').filter(char::is_ascii_digit).collect()
    };
    figures.map(|text| digits(text).parse().expect("a number")).collect()
}

#[test]
fn the_page_names_the_culprit_and_keeps_itself_up_to_date() {
    beside_a_culprit(|address, place| {
        let proxy = Proxy::to(address);
        let url = format!("http://{}/debug/drift?refresh=1", proxy.address);
        let seen = chromium(&url, &["--virtual-time-budget=6000", "--dump-dom"]);
        assert!(seen.contains(place), "{place} is not in {seen}");
        assert!(seen.contains("the &lt;culprit&gt;"), "escaped: {seen}");
        assert_eq!(seen.matches("class=\"ridge\"").count(), 4, "{seen}");
        assert_eq!(seen.matches("class=\"tail\"").count(), 1, "{seen}");
        let heard = proxy.heard();
        let sent = fired(&heard);
        assert!(sent.len() >= 2, "it was fetched {} times", sent.len());
        let shown = fired(&seen);
        assert_eq!(shown.len(), 1, "one page is shown: {seen}");
        assert!(shown[0] > sent[0] && sent.contains(&shown[0]), "{shown:?} of {sent:?}");
    });
}

#[test]
fn the_page_is_drawn_in_the_light_and_in_the_dark() {
    beside_a_culprit(|address, _| {
        let url = format!("http://{address}/debug/drift?refresh=0");
        let directory = Directory::new();
        let day = screenshot(&url, &directory.0.join("day.png"), &[]);
        assert!(day.share(PAPER, day.whole()) > 0.6, "paper: {}", day.share(PAPER, day.whole()));
        // Right of the names, left of the figures, below the head.
        let plot = Region { x: 300..820, y: 200..520 };
        for (color, least) in [(INK, 300), (TEAL, 200), (BRICK, 200)] {
            let found = day.count(color, plot.clone());
            assert!(found >= least, "{found} pixels of {color:x?} where the ridges are");
        }
        // It blocks, and is not on a CPU meanwhile.
        let bars = day.count(SLATE, Region { x: 280..820, y: 560..900 });
        assert!(bars > 1000, "{bars} pixels of the culprits' bars");
        assert!(day.count(INK, Region { x: 0..1280, y: 0..200 }) > 500, "the title");
        let night = screenshot(
            &url,
            &directory.0.join("night.png"),
            &["--blink-settings=preferredColorScheme=0"],
        );
        assert!(night.share(NIGHT, night.whole()) > 0.6);
        assert_eq!(night.count(BRICK, plot), 0, "it has other colours");
    });
}

fn screenshot(url: &str, path: &Path, more: &[&str]) -> Picture {
    let to = format!("--screenshot={}", path.display());
    chromium(url, &[&[&*to], more].concat());
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("it was written"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut bytes).expect("a picture");
    assert_eq!((info.width, info.height), SIZE);
    assert_eq!(info.bit_depth, png::BitDepth::Eight);
    let samples = info.color_type.samples();
    assert!(samples >= 3, "{:?}", info.color_type);
    Picture { pixels: bytes.chunks_exact(samples).map(|of| [of[0], of[1], of[2]]).collect() }
}

#[derive(Clone)]
struct Region {
    x: std::ops::Range<usize>,
    y: std::ops::Range<usize>,
}

struct Picture {
    pixels: Vec<Pixel>,
}

impl Picture {
    fn whole(&self) -> Region {
        Region { x: 0..SIZE.0 as usize, y: 0..SIZE.1 as usize }
    }

    fn count(&self, color: Pixel, Region { x, y }: Region) -> usize {
        let alike = |pixel: &&Pixel| pixel.iter().zip(color).all(|(is, ought)| is.abs_diff(ought) <= 6);
        let line = |y: usize| &self.pixels[y * SIZE.0 as usize..][x.clone()];
        y.map(|y| line(y).iter().filter(alike).count()).sum()
    }

    fn share(&self, color: Pixel, region: Region) -> f64 {
        let all = region.x.len() * region.y.len();
        self.count(color, region) as f64 / all as f64
    }
}

/// Passes on what the browser and the endpoint say, and remembers what the endpoint said.
struct Proxy {
    address: SocketAddr,
    heard: Arc<Mutex<HashMap<usize, Vec<u8>>>>,
}

impl Proxy {
    fn to(endpoint: SocketAddr) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("its address");
        let heard = Arc::new(Mutex::new(HashMap::new()));
        let all = heard.clone();
        // Both ends go with the test's process; nothing waits for these threads.
        std::thread::spawn(move || {
            for (number, browser) in listener.incoming().map_while(Result::ok).enumerate() {
                let Ok(mut server) = TcpStream::connect(endpoint) else { return };
                let (Ok(mut from), Ok(mut to)) = (server.try_clone(), browser.try_clone()) else {
                    return;
                };
                let mut browser = browser;
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut browser, &mut server);
                    let _ = server.shutdown(std::net::Shutdown::Write);
                });
                let all = all.clone();
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        let mut all = all.lock().expect("not poisoned");
                        all.entry(number).or_insert_with(Vec::new).extend_from_slice(&buffer[..read]);
                        drop(all);
                        if to.write_all(&buffer[..read]).is_err() {
                            return;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        });
        Proxy { address, heard }
    }

    /// All of it, one connection after the other.
    fn heard(&self) -> String {
        let heard = self.heard.lock().expect("not poisoned");
        let mut connections: Vec<_> = heard.iter().collect();
        connections.sort();
        connections.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect()
    }
}
