//! Files, as curl gets them: what is there, parts of it, and what must not be seen.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use punctual_tests_http::rig::watchdog;

use crate::rig::{Directory, Server, noise, run, text, tool};

const BUDGET: Duration = Duration::from_secs(15);

/// A tree to serve, and a secret beside it.
fn tree() -> (Directory, Server) {
    let directory = Directory::new();
    directory.put("secret", "secret");
    directory.put("root/page.html", "<p>page</p>");
    directory.put("root/digits.txt", "0123456789");
    directory.put("root/.hidden", "secret");
    directory.put("root/sub/a b&c.txt", "in the sub");
    directory.put("root/<b>.txt", "bold");
    symlink(directory.path().join("secret"), directory.path().join("root/link")).expect("a link");
    symlink("digits.txt", directory.path().join("root/inside")).expect("a link");
    let fifo = Command::new("mkfifo").arg(directory.path().join("root/pipe")).status();
    assert!(fifo.expect("mkfifo").success());
    let server = Server::start(&["--root", &format!("{}/root", directory.text())]);
    (directory, server)
}

/// Status, some headers and the body.
fn get(server: &Server, choice: &[&str], path: &str) -> Option<(String, String)> {
    let mut curl = tool("curl")?;
    curl.args(["--silent", "--show-error", "--max-time", "20", "--path-as-is"]).args(choice);
    curl.args([
        "--write-out",
        "%{stderr}%{http_code} %{content_type} %header{content-range} %header{location}",
    ]);
    let output = run(curl.arg(server.url(path)));
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((String::from_utf8_lossy(&output.stderr).trim().to_owned(), body))
}

#[test]
fn files_and_parts_of_them_are_served() {
    let _watchdog = watchdog("files", BUDGET);
    let (_directory, server) = tree();
    let cases: [(&[&str], &str, &str, &str); 12] = [
        (&[], "/page.html", "200 text/html; charset=utf-8", "<p>page</p>"),
        (&["--http2-prior-knowledge"], "/page.html", "200 text/html; charset=utf-8", "<p>page</p>"),
        (&[], "/digits.txt", "200 text/plain; charset=utf-8", "0123456789"),
        (&[], "/inside", "200 application/octet-stream", "0123456789"),
        (&[], "/sub/a%20b%26c.txt", "200 text/plain; charset=utf-8", "in the sub"),
        (&["-r", "2-4"], "/digits.txt", "206 text/plain; charset=utf-8 bytes 2-4/10", "234"),
        (&["-r", "7-"], "/digits.txt", "206 text/plain; charset=utf-8 bytes 7-9/10", "789"),
        (&["-r", "-2"], "/digits.txt", "206 text/plain; charset=utf-8 bytes 8-9/10", "89"),
        (
            &["-r", "5-99999999999999999999"],
            "/digits.txt",
            "200 text/plain; charset=utf-8",
            "0123456789",
        ),
        (&["-r", "10-"], "/digits.txt", "416 text/plain; charset=utf-8 bytes */10", ""),
        (&["-r", "0-1,3-4"], "/digits.txt", "200 text/plain; charset=utf-8", "0123456789"),
        (&["-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"], "/digits.txt", "304", ""),
    ];
    for (choice, path, words, body) in cases {
        let Some(got) = get(&server, choice, path) else { return };
        assert_eq!((got.0.as_str(), got.1.as_str()), (words, body), "{choice:?} {path}");
    }
    let Some((_, head)) = get(&server, &["--head"], "/digits.txt") else { return };
    let head = head.to_ascii_lowercase();
    for line in ["content-length: 10", "accept-ranges: bytes", "last-modified: "] {
        assert!(head.contains(line), "{head}");
    }
    let Some((_, head)) = get(&server, &["--head", "--http2-prior-knowledge"], "/digits.txt") else {
        return;
    };
    assert!(head.contains("content-length: 10"), "{head}");
}

#[test]
fn what_lies_outside_or_is_hidden_is_not_there() {
    let _watchdog = watchdog("hidden files", BUDGET);
    let (_directory, server) = tree();
    let hidden = [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/sub/../../secret",
        "/.hidden",
        "/%2ehidden",
        "/link",
        "/pipe",
        "/digits.txt/",
        "/digits.txt/x",
        "/digits.txt%00",
        "/%ff",
        "/%2",
    ];
    for path in hidden {
        let Some((words, body)) = get(&server, &[], path) else { return };
        assert!(words.starts_with("404") && !body.contains("secret"), "{path}: {words} {body}");
    }
}

#[test]
fn directories_are_listed_and_escaped() {
    let _watchdog = watchdog("listings", BUDGET);
    let (_directory, server) = tree();
    let Some((words, page)) = get(&server, &[], "/") else { return };
    assert!(words.starts_with("200 text/html"), "{words}");
    assert!(page.contains("<a href=\"%3Cb%3E.txt\">&lt;b&gt;.txt</a>"), "{page}");
    assert!(page.contains("<a href=\"sub/\">sub/</a>") && !page.contains("hidden"), "{page}");
    let Some((words, page)) = get(&server, &[], "/sub/") else { return };
    assert!(
        words.starts_with("200") && page.contains("href=\"a%20b%26c.txt\">a b&amp;c.txt<"),
        "{page}"
    );
    let moved = get(&server, &[], "/sub").map(|(words, _)| words);
    assert_eq!(moved.as_deref(), Some("301 text/plain; charset=utf-8  /sub/"));
    let elsewhere = get(&server, &[], "//sub").map(|(words, _)| words);
    assert!(elsewhere.is_some_and(|words| words.ends_with(" /sub/")), "no other host");
}

/// P04: what a client has not taken is not read from the disk.
#[test]
fn p04_a_large_file_is_streamed_in_bounded_memory() {
    let _watchdog = watchdog("a large file", BUDGET);
    let (directory, server) = tree();
    let size = 64 << 20;
    let large = noise(size);
    directory.put("root/large", &large);
    assert!(server.is_prompt());
    let before = server.peak_memory();
    let copy = directory.put("copy", "");
    // As many at once as matter: all of them in memory would be half a gigabyte.
    let url = server.url("/large");
    let mut running = Vec::new();
    for _ in 0..8 {
        let Some(mut curl) = tool("curl") else { return };
        curl.args([
            "--silent",
            "--max-time",
            "30",
            "--limit-rate",
            "40M",
            "--output",
            "/dev/null",
            &url,
        ]);
        running.push(curl.spawn().expect("curl starts"));
    }
    let Some(mut curl) = tool("curl") else { return };
    let output =
        run(curl.args(["--silent", "--show-error", "--max-time", "30", "--output", &copy, &url]));
    assert!(output.status.success(), "{}", text(&output));
    for mut curl in running {
        assert!(curl.wait().expect("it ends").success());
    }
    assert!(std::fs::read(&copy).expect("the copy") == large, "other bytes");
    let grown = server.peak_memory() - before;
    assert!(grown < 32 * 1024, "{grown} KiB more for a file of {} KiB", size / 1024);
}
