//! See [`punctual_fuzz::dns_answer`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| punctual_fuzz::dns_answer::run(data));

#[cfg(not(fuzzing))]
fn main() {
    punctual_fuzz::replay_arguments(punctual_fuzz::dns_answer::run);
}
