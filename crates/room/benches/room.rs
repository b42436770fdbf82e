//! What a tick of a match costs.
fn main() {}
