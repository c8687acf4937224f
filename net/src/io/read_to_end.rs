//! [`read_to_end`].

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_io::AsyncRead;
use punctual_reactor::WaitGuard;

use crate::error::{Error, Phase};
use crate::io::scoped::Scoped;
use crate::io::take;

/// What is added to the buffer at least, and at most.
const GROWTH: std::ops::RangeInclusive<usize> = 1024..=64 * 1024;

/// Reads everything that `reader` has, at most `limit` bytes. Memory grows with what comes, not with `limit`.
///
/// # Errors
/// `LimitExceeded` if there is more than that, after which one byte beyond the limit has been read; or what `reader`
/// says, in `Phase::Read`. [`Error::transferred`] is how many bytes had been read: they are lost, as `reader` has
/// given them up.
///
/// Not cancel-safe: dropped midway, what was read is lost. Bounds come with the reader, as by
/// [`TcpStream`](crate::TcpStream); it ends with the [scope](punctual_reactor::scope) it waits in.
pub async fn read_to_end<R: AsyncRead + Unpin>(reader: R, limit: usize) -> Result<Vec<u8>, Error> {
    let mut reader = take(reader, limit as u64).or_fail();
    let (mut all, mut filled) = (Vec::new(), 0usize);
    let ended = |failure| Error::failed(Phase::Read, failure).tell();
    Scoped::check().map_err(ended)?;
    let (mut scoped, guard) = (Scoped::default(), WaitGuard::new());
    loop {
        if filled == all.len() {
            let more = filled.clamp(*GROWTH.start(), *GROWTH.end());
            all.resize(filled.saturating_add(more), 0);
        }
        let room = &mut all[filled..];
        let read = poll_fn(|cx| match guard.poll(|| Pin::new(&mut reader).poll_read(cx, room)) {
            Poll::Pending => {
                let ended = |failure| Err(ended(failure).into());
                scoped.poll(cx, Phase::Read.as_str(), guard).map(ended)
            }
            read => read,
        });
        let read = read.await;
        match read {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read).min(all.len()),
            Err(error) => return Err(Error::kernel(Phase::Read, error).with_transferred(filled)),
        }
    }
    all.truncate(filled);
    Ok(all)
}
