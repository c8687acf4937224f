//! Exhaustion and abuse: what happens when there is no more of something, and when somebody does what nobody should.
//!
//! Each test in a process of its own: limits, descriptors and memory are the process's.

mod connections;
mod drops;
mod floods;
mod forks;
mod limits;
mod panics;
mod slow;
mod threads;
mod underfoot;
