//! The server: any tower service, with deadlines and limits on whatever a client may do.
