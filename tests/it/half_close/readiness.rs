//! What the kernel has said once is not forgotten.

use super::*;

/// A read is cut short where a descriptor was sent along, though more has come.
#[test]
fn a_short_read_of_a_unix_stream_leaves_nothing_waiting() {
    for interest in [Interest::READABLE, Interest::READABLE | Interest::WRITABLE, tcp_interest()] {
        let runtime = punctual::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (near, mut far) = mio::net::UnixStream::pair().expect("a pair");
            let io = Registration::new(near, interest, Readiness::NONE).expect("registered");
            let near = wire::Wire { io };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut along = SendAncillaryBuffer::new(&mut space);
            let stdin = std::io::stdin();
            let descriptors = [stdin.as_fd()];
            assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let sent = sendmsg(&far, &[IoSlice::new(b"a")], &mut along, SendFlags::empty());
            assert_eq!(sent.expect("room"), 1);
            far.write_all(b"bcd").expect("room");
            let mut buffer = [0; 64];
            assert_eq!(near.read(&mut buffer).await.expect("it has come"), 1, "cut short");
            // No event follows: what is there now must be had now.
            match poll_once(near.read(&mut buffer)) {
                Poll::Ready(Ok(bytes)) => assert_eq!(&buffer[..bytes], b"bcd"),
                other => panic!("{interest:?}: three bytes wait in the kernel: {other:?}"),
            }
            assert!(poll_once(near.read(&mut buffer)).is_pending());
        });
    }
}

/// READ_CLOSED is sticky: no event follows it, so whoever reads later must not wait for one.
#[test]
fn x01_an_end_that_was_told_once_is_read_as_often_as_one_likes_and_leaves_the_write_side_open() {
    on_alarms("read closed", async |_| {
        for waits in [false, true] {
            let (left, right) = tcp_pair().await;
            if waits {
                // What was readable has been read: only the end itself is news.
                right.write_all(b"first").await.expect("sent");
                assert_eq!(left.recv_exactly(5).await, b"first");
                assert!(poll_once(left.read(&mut [0; 8])).is_pending());
            }
            right.write_all(b"last").await.expect("sent");
            right.shutdown(Shutdown::Write).expect("ended");
            // With room for more: where the end has come along, a short read does not prove that nothing is left.
            let mut buffer = [0; 64];
            assert_eq!(left.read(&mut buffer).await.expect("it has come"), 4);
            assert_eq!(&buffer[..4], b"last");
            assert_eq!(left.read(&mut [0; 64]).await.expect("the end"), 0);
            for _ in 0..3 {
                // A short read, or a write that fills nothing, takes nothing of it back.
                assert!(matches!(poll_once(left.write(b"still open")), Poll::Ready(Ok(10))));
                assert!(matches!(poll_once(left.read(&mut [0; 64])), Poll::Ready(Ok(0))));
                yield_now().await;
            }
            assert_eq!(right.recv_exactly(30).await, b"still openstill openstill open");
        }
    });
}
