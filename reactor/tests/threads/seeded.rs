//! Faults made on purpose, and only where `PUNCTUAL_SEEDED` asks for one: `.ci/sanitizers` fails unless each is found.

use punctual_reactor::rig::seeded;

fn is_asked_for(fault: &str) -> bool {
    std::env::var("PUNCTUAL_SEEDED").is_ok_and(|asked| asked == fault)
}

#[test]
fn race() {
    if is_asked_for("race") {
        seeded::race();
    }
}

#[test]
fn use_after_free() {
    if is_asked_for("use_after_free") {
        seeded::use_after_free();
    }
}

#[test]
fn leak() {
    if is_asked_for("leak") {
        seeded::leak();
    }
}
