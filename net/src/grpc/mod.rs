//! gRPC by [tonic](https://docs.rs/tonic/0.14): channels and services whose deadlines are those of scopes.
