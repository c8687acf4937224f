//! See [`punctual_fuzz::resolver_files`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| punctual_fuzz::resolver_files::run(data));

#[cfg(not(fuzzing))]
fn main() {
    punctual_fuzz::replay_arguments(punctual_fuzz::resolver_files::run);
}
