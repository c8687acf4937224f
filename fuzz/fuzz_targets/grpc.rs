//! See [`punctual_fuzz::grpc`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| punctual_fuzz::grpc::run(data));

#[cfg(not(fuzzing))]
fn main() {
    punctual_fuzz::replay_arguments(punctual_fuzz::grpc::run);
}
