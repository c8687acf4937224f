//! `http::serve`: what it answers, whom it bears with, and for how long.

mod answers;
mod deadlines;
mod drain;
mod rig;
