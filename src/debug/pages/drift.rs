//! How late everything fired, through whom, and who held the loop.

use super::html::Page;
use crate::debug::State;

pub(in crate::debug) async fn drift(state: &State, refresh: u64) -> String {
    let mut page = Page::new("How late timers fire", refresh);
    page.write(format_args!("{}", state.drift.total.count));
    page.finish()
}
