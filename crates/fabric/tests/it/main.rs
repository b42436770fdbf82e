//! The fabric from outside: pairs on a simulated network, and everything else on real servers.

mod pairs;
mod pairs_property;
