//! The simulated calls of the loop itself: poll, alarm and waker.

use super::epoll::{Epoll, Told};
use super::kernel::{Errno, FileId, Happening, Kernel, Kind};

/// What a poll says that finds neither events nor anything that could make one, and one after too many calls.
const STUCK: Errno = libc::EDEADLK;

impl Kernel {
    pub(crate) fn epoll_create(&mut self) -> Result<i32, Errno> {
        self.begin_call("epoll_create1")?;
        Ok(self.open(Kind::Epoll(Epoll::default())))
    }

    pub(crate) fn eventfd(&mut self, count: u64) -> Result<i32, Errno> {
        self.begin_call("eventfd")?;
        Ok(self.open(Kind::Event(count)))
    }

    pub(crate) fn timerfd(&mut self) -> Result<i32, Errno> {
        self.begin_call("timerfd_create")?;
        Ok(self.open(Kind::Timer { due_ns: None, expired: false }))
    }

    pub(crate) fn arm(&mut self, fd: i32, at_ns: Option<u64>) -> Result<(), Errno> {
        self.begin_call("timerfd_settime")?;
        let file = self.file_of(fd)?;
        let Kind::Timer { due_ns, expired } = &mut self.file(file).kind else {
            return Err(libc::EINVAL);
        };
        (*due_ns, *expired) = (at_ns, false);
        if let Some(due_ns) = at_ns {
            self.schedule(due_ns, Happening::Alarm { file, due_ns });
        }
        self.note("arm", &[at_ns.unwrap_or(0)]);
        Ok(())
    }

    pub(crate) fn write_event(&mut self, file: FileId, bytes: &[u8]) -> Result<usize, Errno> {
        let added = bytes.try_into().map(u64::from_ne_bytes).map_err(|_| libc::EINVAL)?;
        let Kind::Event(count) = &mut self.file(file).kind else { return Err(libc::EINVAL) };
        *count = count.checked_add(added).filter(|count| *count < u64::MAX).ok_or(libc::EAGAIN)?;
        self.edge(file);
        Ok(8)
    }

    pub(crate) fn read_event(&mut self, file: FileId, buffer: &mut [u8]) -> Result<usize, Errno> {
        let room = buffer.get_mut(..8).ok_or(libc::EINVAL)?;
        let Kind::Event(count) = &mut self.file(file).kind else { return Err(libc::EINVAL) };
        let read = std::mem::take(count);
        if read == 0 {
            return Err(libc::EAGAIN);
        }
        room.copy_from_slice(&read.to_ne_bytes());
        Ok(8)
    }

    /// Waits until `epoll` has something to tell, or `timeout_ms` have passed; negative is for ever.
    pub(crate) fn epoll_wait(
        &mut self,
        epoll: i32,
        most: usize,
        timeout_ms: i32,
    ) -> Result<Vec<Told>, Errno> {
        let epoll = self.file_of(epoll)?;
        self.counts.polls += 1;
        self.begin_call("epoll_wait")?;
        self.still_goes()?;
        let limit_ns = match timeout_ms {
            ..0 => u64::MAX,
            0.. => self.now_ns.saturating_add(timeout_ms as u64 * 1_000_000),
        };
        loop {
            self.catch_up();
            let told = self.collect(epoll, most);
            if !told.is_empty() || self.now_ns >= limit_ns {
                return Ok(self.woken(told, timeout_ms != 0));
            }
            if matches!(&self.file(epoll).kind, Kind::Epoll(set) if set.has_ready()) {
                continue;
            }
            if self.random.happens(self.faults.interrupted) {
                self.counts.interrupted += 1;
                self.now_ns += self.random.below(1_000_000).min(limit_ns - self.now_ns);
                return Err(libc::EINTR);
            }
            let until_ns = self.next_ns().min(limit_ns);
            if until_ns == u64::MAX {
                return Err(self
                    .fail("the loop would sleep for ever: nothing is under way, and no alarm is set"));
            }
            self.now_ns = self.now_ns.max(until_ns);
        }
    }

    fn still_goes(&mut self) -> Result<(), Errno> {
        let since = self.counts.calls - self.calls_at_last_poll;
        self.calls_at_last_poll = self.counts.calls;
        if self.failure.is_some() {
            return Err(STUCK);
        }
        if since > CALLS_A_TURN_MAX {
            return Err(self.fail("a turn of the loop made more than 20 000 system calls"));
        }
        if self.counts.calls > self.calls_max {
            return Err(self.fail("it takes too many system calls, and may never end"));
        }
        Ok(())
    }

    pub(crate) fn fail(&mut self, why: &str) -> Errno {
        self.note("failed", &[]);
        self.failure.get_or_insert_with(|| why.to_owned());
        STUCK
    }

    /// The loop wakes: after a while, or a longer while.
    fn woken(&mut self, told: Vec<Told>, slept: bool) -> Vec<Told> {
        if slept {
            self.now_ns += self.random.below(50_000);
            if self.random.happens(self.faults.late) {
                self.counts.late += 1;
                self.now_ns += self.random.below(self.faults.late_by.as_nanos() as u64);
            }
            if self.random.happens(self.faults.jumps) {
                self.counts.jumps += 1;
                self.now_ns += self.random.below(60_000_000_000);
            }
        }
        self.counts.events += told.len() as u64;
        for Told { mask, data } in &told {
            self.note("event", &[(*mask).into(), *data]);
        }
        told
    }
}

/// What the budgets of a turn allow is far less.
const CALLS_A_TURN_MAX: u64 = 20_000;
