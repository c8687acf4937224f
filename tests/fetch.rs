//! How `examples/fetch` shows what it found: its tests stand in its own files, and run here.

#![allow(dead_code)]

#[path = "../examples/fetch/picture/mod.rs"]
mod picture;
#[path = "../examples/fetch/report.rs"]
mod report;
#[path = "../examples/fetch/waterfall/mod.rs"]
mod waterfall;
#[path = "../examples/fetch/words.rs"]
mod words;
