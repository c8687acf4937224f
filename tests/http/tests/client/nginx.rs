//! nginx as the other side.

use std::io::{Read, Write};
use std::net::TcpStream;

use punctual_tests_http::nginx::Nginx;

#[test]
fn nginx_starts_serves_and_is_gone_afterwards() {
    let Some(nginx) = Nginx::start("location /hello { return 200 \"hello\\n\"; }") else { return };
    nginx.serve_file("file", b"as it is");
    let ask = |path: &str| {
        let mut client = TcpStream::connect(nginx.http).expect("connected");
        write!(client, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("/hello").ends_with("\r\n\r\nhello\n"));
    assert!(ask("/file").ends_with("\r\n\r\nas it is"));
    let log = nginx.access_log();
    assert!(log[1].ends_with(" 1 200 HTTP/1.0 GET /file HTTP/1.0"), "{log:?}");
    let (address, directory) = (nginx.http, nginx.directory.clone());
    drop(nginx);
    assert!(TcpStream::connect(address).is_err() && !directory.exists());
}
