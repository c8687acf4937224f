//! See [`punctual_fuzz::http_client`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| punctual_fuzz::http_client::run(data));

#[cfg(not(fuzzing))]
fn main() {
    punctual_fuzz::replay_arguments(punctual_fuzz::http_client::run);
}
