//! What an OpenTelemetry collector sees of punctual: see `tests/`.
