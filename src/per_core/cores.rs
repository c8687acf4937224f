//! [`Cores`]: cores that run.

use std::fmt;
use std::sync::mpsc::Receiver;

use super::error::{CoreError, CoreFailure};
use super::group::CoresHandle;

/// Cores that [`PerCore::start`](super::PerCore::start) has started. Dropped, it shuts them down, and does not wait.
#[must_use = "dropping it shuts the cores down"]
pub struct Cores<T, E> {
    handle: CoresHandle,
    results: Receiver<(usize, Result<T, CoreFailure<E>>)>,
}

impl<T, E> Cores<T, E> {
    pub(super) fn new(
        handle: CoresHandle,
        results: Receiver<(usize, Result<T, CoreFailure<E>>)>,
    ) -> Cores<T, E> {
        Cores { handle, results }
    }

    /// Ends them, and reaches their runtimes, from any thread.
    #[must_use]
    pub fn handle(&self) -> &CoresHandle {
        &self.handle
    }

    /// Blocks until each `main` has returned and its runtime is gone; the results are in the order of the cores.
    ///
    /// # Errors
    /// The first failure in time; see [`per_core`](fn@super::per_core).
    pub fn join(self) -> Result<Vec<T>, CoreError<E>> {
        let count = self.handle.count();
        let group = &self.handle.group;
        let all_ended = group.wait_for_ends(count);
        let mut results: Vec<_> = (0..count).map(|_| None).collect();
        for (core, result) in self.results.try_iter() {
            results[core] = Some(result);
        }
        let stuck = results.iter().position(Option::is_none).filter(|_| !all_ended);
        // Why the cores were to end, before that one of them does not.
        let failed = group.first_failed().filter(|core| matches!(results[*core], Some(Err(_))));
        if let Some(core) = failed.or(stuck) {
            let failure = match results[core].take() {
                Some(Err(failure)) => failure,
                _ => CoreFailure::Stuck,
            };
            return Err(CoreError::new(core, failure));
        }
        let in_order = results.into_iter().enumerate().map(|(core, result)| {
            let result = result.unwrap_or(Err(CoreFailure::Stuck));
            result.map_err(|failure| CoreError::new(core, failure))
        });
        in_order.collect()
    }
}

impl<T, E> Drop for Cores<T, E> {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl<T, E> fmt::Debug for Cores<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("handle", &self.handle).finish_non_exhaustive()
    }
}
