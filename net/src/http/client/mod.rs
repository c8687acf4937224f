//! The client: pooled connections, phases with deadlines, redirects and retries.
