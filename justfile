# The main job: how late, and never how early, this machine's timers are.
drift *ARGS:
    cargo run --release --example drift -- {{ARGS}}

# Each fault that defeats timeouts, made for real, and judged.
lab *ARGS:
    cargo run --release --example timeout_lab -- {{ARGS}}

# Everything that tests: units, behaviour, real kernel, stress, examples, docs.
test:
    cargo test --workspace --all-features

# Lateness at one second beside a raw timerfd, by turns in one process, in an optimised build.
lateness:
    cargo test --release -p punctual --test drift -- --nocapture

# Lateness of connect deadlines over black-holed dials, beside a raw timerfd.
connect-lateness:
    cargo test --release -p punctual --test connect_lateness -- --nocapture

# A million connects, cancels and timeouts, and everything back to where it was.
million:
    PUNCTUAL_CONNECTS=1000000 cargo test --release -p punctual --test stress_connect -- --nocapture

# What lands must pass.
ci:
    bash .ci/run

# HTTP beside hyper on tokio: requests a second by wrk and h2load, instructions a request.
http *ARGS:
    cargo bench -p punctual-benches --bench http -- {{ARGS}}

# The runtimes side by side: echo, renew, drift, wheel, idle, connect, tasks, cores, size, or all.
side-by-side WORKLOAD *ARGS:
    cargo run --release -p punctual-benches -- {{WORKLOAD}} {{ARGS}}

# A file and echo server with all deadlines on.
serve *ARGS:
    cargo run --release --features http,tls --example serve -- {{ARGS}}

# A request, phase by phase.
fetch *ARGS:
    cargo run --release --features http,tls --example fetch -- {{ARGS}}

# Formatting, lints and documentation, with warnings denied.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked

# The parking protocol, in every interleaving.
loom:
    RUSTFLAGS="--cfg loom" cargo test -p punctual-reactor --release --lib --target-dir target/loom models

# The same for threads at a loop, in very many orders: too many for loom to try them all.
shuttle:
    RUSTFLAGS="--cfg shuttle" cargo test -p punctual-reactor --release --lib --target-dir target/shuttle models

# Whole scenarios on a simulated kernel and network, a seed each.
sim SEEDS="100000":
    PUNCTUAL_SEEDS={{SEEDS}} cargo test --profile sim -p punctual-tests-sim --test sim -- --nocapture

# Ten thousand connections through a proxy that faults, cancels and deadlines from four threads; a report at the end.
soak MINUTES="10":
    cargo run --release -p punctual-tests-stress -- --minutes {{MINUTES}}

# Limits that are hit: descriptors, memory, threads, floods, panics, fork.
exhaustion:
    cargo test -p punctual-tests-stress --test exhaustion

# The handle, wakers and threads under the thread, address and leak sanitizers.
sanitizers *WHICH:
    bash .ci/sanitizers {{WHICH}}

# What peers and files say, made up by libFuzzer.
fuzz SECONDS="15" *TARGETS:
    SECONDS_EACH={{SECONDS}} bash .ci/fuzz {{TARGETS}}

# The tests' tests: known bugs, put in one by one, must be seen.
bugs *NAMES:
    bash .ci/bugs {{NAMES}}

# The code broken in one place after the other, and the tests that notice (cargo-mutants): all of them take hours.
mutants *GROUPS:
    bash .ci/mutants {{GROUPS}}

# Public interface, packages, features, oldest dependencies, oldest Rust.
compatibility *STEPS:
    bash .ci/compatibility {{STEPS}}

# Instructions of the hot paths, held against those that were blessed (`just instructions --bless`).
instructions *ARGS:
    cargo bench -p punctual-instructions -- {{ARGS}}

# The wheel against its peers, interleaved in one run.
wheel *ARGS:
    cargo run --release -p punctual-benches -- wheel {{ARGS}}

# What accounting the time of polls costs an echo, on and off by turns in one run.
accounting *ARGS:
    cargo bench -p punctual-benches --bench accounting -- {{ARGS}}

# A loop with a culprit and its debug endpoint; `cargo run -p punctual-top -- 127.0.0.1:7070` beside it.
culprit *ARGS:
    cargo run --release --features debug,pprof --example culprit -- --seconds 600 --debug 127.0.0.1:7070 {{ARGS}}

# Type-check and lint for kqueue (needs Debian's rustc-web, cargo-web, rust-web-src, rust-web-clippy).
kqueue:
    bash .ci/kqueue

# Licences, bans and sources of the dependencies.
deny:
    cargo deny --workspace --all-features check bans licenses sources
