//! The fabric from outside: pairs on a simulated network, and everything else on real servers.
//!
//! What the client library gets wrong unless it is kept from it has a test of its own in `traps`.

mod checkpoints;
mod limits;
mod mailbox;
mod membership;
mod pairs;
mod pairs_property;
mod presence;
mod queue;
mod queue_by_rating;
mod stored;
mod support;
mod tls;
mod topics;
mod traps;
mod users;
