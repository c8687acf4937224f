//! [`SendFuture`]: a future of this loop that may be held anywhere.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::arena::{Arena, Id};
use crate::executor::{Driver, context, drop_contained};
use crate::remote::{Handle, Shared};

/// Keeps `future` on the loop of this thread, and gives it a name that is `Send`, for interfaces that ask for that though they
/// poll it here: a handler of tonic's or axum's that reads from our streams, sleeps, or opens a [scope](crate::scope).
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Runtime, send_future, sleep};
///
/// fn handler() -> impl Future<Output = u8> + Send {
///     async {
///         send_future(async {
///             sleep(Duration::from_millis(1)).await; // is not `Send`, and need not be
///             7
///         })
///         .await
///     }
/// }
/// assert_eq!(Runtime::new()?.block_on(handler()), 7);
/// # std::io::Result::Ok(())
/// ```
///
/// It is polled by whoever polls what this returns, in that one's task, scope and timeouts, and dropped with it.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn send_future<F>(future: F) -> SendFuture<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let driver = context::current("send_future");
    let future: Pin<Box<dyn Future<Output = F::Output>>> = Box::pin(future);
    let kept = driver.locals.get_or_insert(Kept::default);
    let id = kept.0.borrow_mut().insert(Some(Box::new(future)));
    SendFuture { runtime: driver.remote.clone(), id: Some(id), output: PhantomData }
}

/// What [`send_future`] returns. It names its future and its runtime instead of holding them.
///
/// Cancel-safe if the future is: dropped, it drops that at once; dropped outside of its runtime, as of that runtime's next
/// turn.
///
/// Polled after it was ready, or on another runtime, it panics.
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendFuture<T> {
    runtime: Arc<Shared>,
    /// `None` once it is over.
    id: Option<Id>,
    output: PhantomData<fn() -> T>,
}

/// The futures of one runtime; `None` while one is polled.
#[derive(Default)]
struct Kept(RefCell<Arena<Option<Box<dyn Any>>>>);

impl Kept {
    fn take(&self, id: Id) -> Option<Box<dyn Any>> {
        self.0.borrow_mut().get_mut(id)?.take()
    }

    /// Drops it while nothing is borrowed.
    fn remove(&self, id: Id) {
        let removed = self.0.borrow_mut().remove(id);
        drop_contained(removed);
    }
}

impl Driver {
    fn kept(&self) -> Option<Rc<Kept>> {
        self.locals.get()
    }
}

impl<T: 'static> Future for SendFuture<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let driver = context::current("SendFuture");
        assert!(
            driver.is_reached_by(&self.runtime),
            "this future belongs to another runtime: poll it there"
        );
        let there = self.id.zip(driver.kept());
        let taken = there.and_then(|(id, kept)| Some((id, kept.take(id)?, kept)));
        let Some((id, mut boxed, kept)) = taken else { panic!("a future was polled after it was over") };
        let Some(future) = boxed.downcast_mut::<Pin<Box<dyn Future<Output = T>>>>() else {
            unreachable!("what was kept under this name is of this type")
        };
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => {
                self.id = None;
                kept.remove(id);
                drop_contained(boxed);
                Poll::Ready(value)
            }
            Poll::Pending => {
                if let Some(slot) = kept.0.borrow_mut().get_mut(id) {
                    *slot = Some(boxed);
                    return Poll::Pending;
                }
                // The runtime is being dropped.
                drop_contained(boxed);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for SendFuture<T> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let remove = move |driver: &Driver| driver.kept().iter().for_each(|kept| kept.remove(id));
        match context::try_current().filter(|driver| driver.is_reached_by(&self.runtime)) {
            Some(driver) => remove(&driver),
            None => Handle { shared: self.runtime.clone() }.tell(move || {
                context::try_current().iter().for_each(|driver| remove(driver));
            }),
        }
    }
}

impl<T> fmt::Debug for SendFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").field("over", &self.id.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::{Runtime, Unbounded, VirtualClock, current_scope, scope, sleep};

    /// Tells when it is dropped.
    struct Told(Rc<Cell<u32>>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn kept(runtime: &Runtime) -> usize {
        runtime.driver().kept().map_or(0, |kept| kept.0.borrow().len())
    }

    #[test]
    fn it_is_polled_where_it_is_awaited_and_leaves_nothing() {
        fn send<T: Send>(value: T) -> T {
            value
        }
        let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
        let path = runtime.block_on(async {
            let future = send(send_future(async {
                sleep(Duration::from_millis(5)).await;
                current_scope().expect("a scope").path().to_owned()
            }));
            let fail = "it was not ended";
            scope("there", Unbounded, async |_| future.await).await.expect(fail)
        });
        assert_eq!((path.as_str(), kept(&runtime)), ("there", 0));
    }

    #[test]
    fn dropped_here_or_on_another_thread_or_with_the_runtime_it_is_dropped_once() {
        let drops = Rc::new(Cell::new(0));
        let runtime = Runtime::new().expect("a runtime");
        let make = || {
            let told = Told(drops.clone());
            let mut future = send_future(async move {
                let _told = told;
                pending::<()>().await;
            });
            let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            future
        };
        let left = runtime.block_on(async {
            drop(make());
            assert_eq!(drops.get(), 1);
            let elsewhere = make();
            std::thread::spawn(move || drop(elsewhere)).join().expect("no panic");
            assert_eq!(drops.get(), 1, "not on another thread");
            sleep(Duration::ZERO).await;
            assert_eq!(drops.get(), 2, "in the next turn of its own");
            Some(make())
        });
        assert_eq!(kept(&runtime), 1);
        drop(runtime);
        assert_eq!(drops.get(), 3);
        drop(left);
        assert_eq!(drops.get(), 3);
    }

    #[test]
    fn a_panic_goes_through_it_and_one_within_another_is_no_matter() {
        let runtime = Runtime::new().expect("a runtime");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(send_future_in(async { panic!("as it must") }))
        }));
        assert!(panicked.is_err());
        assert_eq!(kept(&runtime), 0);
        let value = runtime.block_on(async {
            send_future(async { send_future(async { send_future(async { 3 }).await }).await }).await
        });
        assert_eq!((value, kept(&runtime)), (3, 0));
    }

    async fn send_future_in(future: impl Future<Output = ()> + 'static) {
        let mut future = send_future(future);
        poll_fn(|cx| Pin::new(&mut future).poll(cx)).await;
    }
}
