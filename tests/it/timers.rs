//! T: timers, by what they promise; and Q01, a clock that goes back.

mod economy;
mod embedding;
mod fairness;
mod guards;
mod intervals;
pub(crate) mod never_early;
mod order;
mod states;
mod wall_clock;
