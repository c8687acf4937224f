//! [`Stage`]: a task's future, and in the same room what became of it. So a task is one allocation.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::executor::join::JoinError;

/// What becomes of a task; nothing if nobody can ask for it.
pub(crate) type Outcome<T> = Option<Result<T, JoinError>>;

/// A task as the loop has it.
pub(crate) trait Run {
    /// Polls the future. When it is done it is dropped, and its outcome is in its place.
    ///
    /// # Panics
    /// As it does, or its drop.
    fn run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the future is done, and dropped.
    fn is_over(&self) -> bool;

    /// Drops the future, and puts `error` in its place; an outcome that is there already stays.
    ///
    /// # Panics
    /// As the drop does; `error` is there then.
    fn end(self: Pin<&mut Self>, error: JoinError);

    /// Moves the outcome to where there is room for one, which is an `Outcome` of the same type.
    fn give(self: Pin<&mut Self>, room: &mut dyn Any);
}

pub(crate) type TaskFuture = Pin<Box<dyn Run>>;

pin_project! {
    /// Written by hand, as are others that hold a future of somebody's: an `async` block that pins what it was given
    /// has room for it twice.
    #[project = Projected]
    pub(crate) enum Stage<F, T> {
        Running {
            #[pin]
            future: F,
        },
        Over {
            outcome: Outcome<T>,
        },
    }
}

impl<F, T> Stage<F, T> {
    #[inline]
    pub(crate) fn of(future: F) -> Stage<F, T> {
        Stage::Running { future }
    }
}

impl<T: 'static, F: Future<Output = Outcome<T>>> Run for Stage<F, T> {
    fn run(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Projected::Running { future } = self.as_mut().project() else { return Poll::Ready(()) };
        match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.set(Stage::Over { outcome });
                Poll::Ready(())
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Stage::Over { .. })
    }

    #[cold]
    fn end(mut self: Pin<&mut Self>, error: JoinError) {
        if !self.is_over() {
            self.set(Stage::Over { outcome: Some(Err(error)) });
        }
    }

    fn give(self: Pin<&mut Self>, room: &mut dyn Any) {
        if let (Projected::Over { outcome }, Some(room)) = (self.project(), room.downcast_mut()) {
            *room = outcome.take();
        }
    }
}

pin_project! {
    /// The future of a task of no scope.
    pub(crate) struct Plain<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future> Future for Plain<F> {
    type Output = Outcome<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<F::Output>> {
        self.project().future.poll(cx).map(|value| Some(Ok(value)))
    }
}
