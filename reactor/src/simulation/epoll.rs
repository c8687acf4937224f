//! The simulated epoll: edge-triggered interests, told in any order.

use std::collections::{BTreeMap, VecDeque};

use super::kernel::{Errno, FileId, Kernel, Kind};

/// `epoll_event`, as it is given and taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) mask: u32,
    pub(crate) data: u64,
}

pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;

#[derive(Debug, Default)]
pub(crate) struct Epoll {
    interests: BTreeMap<i32, Interest>,
    ready: VecDeque<i32>,
    /// What was registered last and is no longer: a stale event names one of these.
    ended: Option<Told>,
}

#[derive(Debug)]
struct Interest {
    file: FileId,
    mask: u32,
    data: u64,
    queued: bool,
}

impl Kernel {
    pub(crate) fn epoll_ctl(&mut self, epoll: i32, call: i32, fd: i32, told: Told) -> Result<(), Errno> {
        self.begin_call("epoll_ctl")?;
        let epoll = self.file_of(epoll)?;
        let file = self.file_of(fd)?;
        let ready = self.state_of(file) != 0;
        let watched_by = &mut self.file(file).watched_by;
        match call {
            libc::EPOLL_CTL_ADD if !watched_by.contains(&epoll) => watched_by.push(epoll),
            libc::EPOLL_CTL_DEL => watched_by.retain(|by| *by != epoll),
            _ => {}
        }
        let Kind::Epoll(set) = &mut self.file(epoll).kind else { return Err(libc::EINVAL) };
        let known = set.interests.contains_key(&fd);
        match call {
            libc::EPOLL_CTL_ADD if known => return Err(libc::EEXIST),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !known => return Err(libc::ENOENT),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                let Told { mask, data } = told;
                set.ready.retain(|queued| *queued != fd);
                set.interests.insert(fd, Interest { file, mask, data, queued: ready });
                if ready {
                    set.ready.push_back(fd);
                }
            }
            libc::EPOLL_CTL_DEL => set.forget(fd),
            _ => return Err(libc::EINVAL),
        }
        self.note("epoll_ctl", &[call as u64, fd as u64, told.data]);
        Ok(())
    }

    /// Something has changed about `file`: whoever watches it is told at the next poll.
    pub(crate) fn edge(&mut self, file: FileId) {
        let watched_by = std::mem::take(&mut self.file(file).watched_by);
        for epoll in &watched_by {
            if let Some(Kind::Epoll(set)) = self.try_file(*epoll).map(|file| &mut file.kind) {
                set.edge(file);
            }
        }
        self.file(file).watched_by = watched_by;
    }

    /// The last descriptor of `file` is closed.
    pub(crate) fn unwatch(&mut self, file: FileId, watched_by: &[FileId]) {
        for epoll in watched_by {
            if let Some(Kind::Epoll(set)) = self.try_file(*epoll).map(|file| &mut file.kind) {
                let of_it = |(fd, interest): (&i32, &Interest)| (interest.file == file).then_some(*fd);
                let gone: Vec<i32> = set.interests.iter().filter_map(of_it).collect();
                gone.into_iter().for_each(|fd| set.forget(fd));
            }
        }
    }

    /// What `epoll` has to tell now, at most `most` of it.
    pub(crate) fn collect(&mut self, epoll: FileId, most: usize) -> Vec<Told> {
        let mut told = Vec::new();
        let Kind::Epoll(set) = &mut self.file(epoll).kind else { return told };
        let mut ready: Vec<i32> = set.ready.drain(..).collect();
        ready.iter().for_each(|fd| {
            if let Some(interest) = set.interests.get_mut(fd) {
                interest.queued = false;
            }
        });
        self.random.shuffle(&mut ready);
        for fd in ready {
            let Some((file, mask, data)) = self.interest(epoll, fd) else { continue };
            let now = self.state_of(file) & (mask | ERR | HUP);
            if now == 0 {
                continue;
            }
            let later = !told.is_empty() && self.random.happens(self.faults.partial);
            if later || told.len() >= most {
                if let Kind::Epoll(set) = &mut self.file(epoll).kind {
                    set.edge(file);
                }
                self.counts.partial += u64::from(later);
                continue;
            }
            told.push(Told { mask: now, data });
        }
        if told.len() < most {
            told.extend(self.false_event(epoll));
        }
        told
    }

    /// One that is spurious or stale, if it is time for it.
    fn false_event(&mut self, epoll: FileId) -> Option<Told> {
        if self.random.happens(self.faults.stale) {
            let Kind::Epoll(set) = &mut self.file(epoll).kind else { return None };
            let ended = set.ended.take()?;
            self.counts.stale += 1;
            return Some(ended);
        }
        if !self.random.happens(self.faults.spurious) {
            return None;
        }
        let Kind::Epoll(set) = &self.file(epoll).kind else { return None };
        // Not of the loop's own alarm and waker.
        let sockets: Vec<(u32, u64)> = set.interests.values().map(|one| (one.mask, one.data)).collect();
        let sockets: Vec<_> = sockets.into_iter().filter(|(_, data)| *data < u64::MAX - 1).collect();
        let (mask, data) = *sockets.get(self.random.below(sockets.len() as u64) as usize)?;
        let mask = mask & [IN, OUT, IN | OUT][self.random.below(3) as usize];
        self.counts.spurious += u64::from(mask != 0);
        (mask != 0).then_some(Told { mask, data })
    }

    fn interest(&mut self, epoll: FileId, fd: i32) -> Option<(FileId, u32, u64)> {
        let Kind::Epoll(set) = &self.file(epoll).kind else { return None };
        set.interests.get(&fd).map(|interest| (interest.file, interest.mask, interest.data))
    }

    /// Whether what is registered as `data` is ready as in `mask`, and nobody is going to be told of it.
    pub(crate) fn is_ready_in_silence(&mut self, data: u64, mask: u32) -> bool {
        let mut found = None;
        for file in self.files.iter().flatten() {
            if let Kind::Epoll(set) = &file.kind {
                let one = set.interests.values().find(|interest| interest.data == data);
                found = found.or(one.filter(|one| !one.queued).map(|one| (one.file, one.mask)));
            }
        }
        // One that lacks descriptors is tried again after a pause, and not when it is told.
        found.is_some_and(|(file, asked)| {
            !self.file(file).refused && self.state_of(file) & asked & mask != 0
        })
    }
}

impl Epoll {
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn edge(&mut self, file: FileId) {
        for (fd, interest) in &mut self.interests {
            if interest.file == file && !interest.queued {
                interest.queued = true;
                self.ready.push_back(*fd);
            }
        }
    }

    fn forget(&mut self, fd: i32) {
        self.ready.retain(|queued| *queued != fd);
        if let Some(Interest { mask, data, .. }) = self.interests.remove(&fd) {
            self.ended = Some(Told { mask: mask & (IN | OUT), data });
        }
    }
}
