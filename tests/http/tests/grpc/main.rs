//! gRPC: deadlines on the wire.
