//! TLS by [rustls](https://docs.rs/rustls/0.23) over our streams: client and server, with a deadline on the handshake.
