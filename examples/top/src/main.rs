//! A terminal view of a running loop, through its debug endpoint.

fn main() {}
