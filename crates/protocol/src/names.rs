//! Every Redis key and channel. Nothing else in the workspace spells one.
//!
//! What one script touches together shares a hash tag in braces, and so a slot of a Redis Cluster.

use rally_units::{MatchId, NodeId, SessionId, UserId};

use crate::client::v1::Mode;

/// The channel on which a node receives its bundles.
pub fn mailbox(node: NodeId) -> String {
    format!("rally:mailbox:{node}")
}

/// The channel of a topic: a chat channel, a tournament's lobby.
pub fn topic(name: &str) -> String {
    format!("rally:topic:{name}")
}

/// Hash: node -> what the registry says of it, for all nodes of all roles.
pub const NODES: &str = "rally:{nodes}:all";

/// A node's lease: its incarnation, for 1 s.
pub fn lease(node: NodeId) -> String {
    format!("rally:{{nodes}}:lease:{node}")
}

/// A director's lease: the node that runs it.
pub fn director(name: &str) -> String {
    format!("rally:director:{name}")
}

/// Who owns a match: a cache of what Postgres says.
pub fn owner(id: MatchId) -> String {
    format!("rally:{{m:{id}}}:owner")
}

/// Sorted set: tickets of a queue by the time at which they came.
pub fn queue_waiting(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:waiting")
}

/// Hash: ticket -> what is known of it.
pub fn queue_tickets(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:tickets")
}

/// Sorted set: tickets by the time at which they expire unless refreshed.
pub fn queue_expiry(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:expiry")
}

/// Hash: user -> ticket, so that one user waits once.
pub fn queue_users(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:users")
}

/// Hash: match -> the pair that it was chosen for, until it exists.
pub fn queue_pending(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:pending")
}

/// In which queue a user waits, over all modes: mode and ticket.
pub fn queued_user(user: UserId) -> String {
    format!("rally:{{u:{user}}}:queued")
}

/// A session that can be resumed.
pub fn session(id: SessionId) -> String {
    format!("rally:session:{id}")
}
