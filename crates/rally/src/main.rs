//! One executable, one role per subcommand.

fn main() {}
