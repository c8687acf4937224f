//! `http::serve`: what it answers, whom it bears with, and for how long.

mod answers;
mod deadlines;
mod drain;
mod ends;
mod halves;
mod http2;
mod limits;
mod rig;
mod security;
mod smuggling;
mod taking;
