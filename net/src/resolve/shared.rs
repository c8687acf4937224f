//! [`Shared`]: one future that several wait for. Whoever is polled drives it; when the last has gone, it is dropped.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use punctual_reactor::{Instant, outside_scopes};
use slab::Slab;

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// A share in a future. Cancel-safe: dropping it leaves the others theirs.
pub(super) struct Shared<T> {
    state: Rc<State<T>>,
    /// Its place among those that are woken.
    key: Option<usize>,
}

/// The way to a future that others wait for.
pub(super) struct Weakly<T>(Weak<State<T>>);

struct State<T> {
    begun: Instant,
    progress: RefCell<Progress<T>>,
    wakers: Arc<Wakers>,
}

enum Progress<T> {
    Runs(Boxed<T>),
    /// Out of the cell while it is polled: what it drops or wakes may come back here.
    Polled,
    Done(T),
}

/// All who wait. A waker has to be `Send`, though here only one thread looks.
#[derive(Default)]
struct Wakers(Mutex<Slab<Waker>>);

impl Wakers {
    fn slab(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self.slab().iter().map(|(_, waker)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn new(future: Boxed<T>) -> Shared<T> {
        let progress = RefCell::new(Progress::Runs(future));
        let state = State { begun: Instant::now(), progress, wakers: Arc::default() };
        Shared { state: Rc::new(state), key: None }
    }

    /// One that is over already.
    pub(super) fn done(value: T) -> Shared<T> {
        let progress = RefCell::new(Progress::Done(value));
        let state = State { begun: Instant::now(), progress, wakers: Arc::default() };
        Shared { state: Rc::new(state), key: None }
    }

    pub(super) fn downgrade(&self) -> Weakly<T> {
        Weakly(Rc::downgrade(&self.state))
    }

    /// When it was begun.
    pub(super) fn begun(&self) -> Instant {
        self.state.begun
    }
}

impl<T> Weakly<T> {
    /// A share of one's own, unless the last has gone.
    pub(super) fn upgrade(&self) -> Option<Shared<T>> {
        Some(Shared { state: self.0.upgrade()?, key: None })
    }
}

impl<T: Clone> Future for Shared<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        this.wait(cx.waker().clone());
        let progress = std::mem::replace(&mut *this.state.progress.borrow_mut(), Progress::Polled);
        let (progress, result) = match progress {
            Progress::Done(value) => (Progress::Done(value.clone()), Poll::Ready(value)),
            Progress::Polled => (Progress::Polled, Poll::Pending),
            Progress::Runs(mut future) => {
                let waker = Waker::from(this.state.wakers.clone());
                // It is nobody's in particular: the scope of whoever drives it must not end it for the others.
                let poll = outside_scopes(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
                match poll {
                    Poll::Pending => (Progress::Runs(future), Poll::Pending),
                    Poll::Ready(value) => {
                        drop(future);
                        this.state.wakers.wake_all();
                        (Progress::Done(value.clone()), Poll::Ready(value))
                    }
                }
            }
        };
        *this.state.progress.borrow_mut() = progress;
        result
    }
}

impl<T> Shared<T> {
    fn wait(&mut self, waker: Waker) {
        let mut wakers = self.state.wakers.slab();
        let before = match self.key {
            Some(key) => Some(std::mem::replace(&mut wakers[key], waker)),
            None => {
                self.key = Some(wakers.insert(waker));
                None
            }
        };
        drop(wakers);
        drop(before);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let waker = self.key.and_then(|key| self.state.wakers.slab().try_remove(key));
        drop(waker);
    }
}
