//! X05–X07: resets, and writing to nobody.

use super::*;

#[test]
fn x05_rst_wakes_both() {
    on_alarms("x05", async |_| {
        let (left, right) = small_tcp_pair().await;
        let left = Rc::new(left);
        left.fill().await;
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let (reader, writer) = (left.clone(), left.clone());
        let reading = spawn(async move { read_all(&reader).await.1 });
        let writing = spawn(async move { writer.write_all(&[0; 1 << 20]).await.map_err(|e| e.kind()) });
        sleep(20 * MS).await;
        reset(right);
        assert_eq!(reading.await.expect("no panic"), Some(ECONNRESET));
        assert_eq!(writing.await.expect("no panic"), Err(ECONNRESET));
        // And it stays so, though the kernel says it only once.
        assert_eq!(left.read(&mut [0; 1]).await.expect_err("broken").kind(), ECONNRESET);
        assert_eq!(left.write(&[0; 1]).await.expect_err("broken").kind(), ECONNRESET);
    });
}

#[test]
fn x06_data_before_eof_and_rst() {
    on_alarms("x06", async |_| {
        let data = pattern(64 * 1024);
        let (left, right) = tcp_pair().await;
        right.write_all(&data).await.expect("sent");
        right.shutdown(Shutdown::Write).expect("ended");
        let (received, ended) = read_all(&left).await;
        assert!(received == data && ended.is_none(), "{} bytes, {ended:?}", received.len());

        let (left, right) = tcp_pair().await;
        right.write_all(&data).await.expect("sent");
        reset(right);
        let (received, ended) = read_all(&left).await;
        assert!(data.starts_with(&received), "no byte is invented");
        assert_eq!(ended, Some(ECONNRESET), "a reset is no end");
    });
}

#[test]
fn x07_write_half_open() {
    if !child::plays("default SIGPIPE") {
        let test = "half_close::resets::x07_write_half_open";
        return child::succeed(child::command(test, "default SIGPIPE"));
    }
    punctual_reactor::rig::default_sigpipe().expect("set");
    async fn body<T: Pair>(_: &Runtime) {
        for way in 0..3 {
            let (left, right) = T::pair().await;
            drop(right);
            let slices = [std::io::IoSlice::new(b"to "), std::io::IoSlice::new(b"nobody")];
            let mut ended = None;
            // The first is answered by a reset, which may take a turn to come.
            for _ in 0..1_000 {
                let written = match way {
                    0 => left.write(b"to nobody").await.map(drop),
                    1 => left.write_vectored(&slices).await.map(drop),
                    _ => left.write_all(b"to nobody").await,
                };
                if let Err(error) = written {
                    ended = Some(error.kind());
                    break;
                }
                yield_now().await;
            }
            assert!(matches!(ended, Some(EPIPE | ECONNRESET)), "{ended:?}");
            let again = left.write(b"again").await.expect_err("nobody is there");
            assert!(matches!(again.kind(), EPIPE | ECONNRESET), "{again}");
        }
    }
    on_streams!(body);
}
