//! Load generator: many scripted players over several edges, and what they measured.

fn main() {}
