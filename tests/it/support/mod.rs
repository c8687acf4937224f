//! What the topics share: runtimes on every clock and alarm, and the oracles.
