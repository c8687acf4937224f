//! The client: pooled connections, phases with deadlines, redirects and retries.

#[allow(dead_code)] // until the client's loop calls it
mod redirect;
#[allow(dead_code)] // until the client's loop calls it
mod retry;
