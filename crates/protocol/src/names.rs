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

/// The channel on which a node sends itself messages, to see whether its topics still come.
pub fn topic_probe(node: NodeId) -> String {
    format!("rally:probe:{node}")
}

/// Hash: node -> what the registry says of it, for all nodes of all roles.
pub const NODES: &str = "rally:{nodes}:all";

/// What stands before the node in a lease's key.
pub const LEASE_PREFIX: &str = "rally:{nodes}:lease:";

/// A node's lease: its incarnation, for 1 s.
pub fn lease(node: NodeId) -> String {
    format!("{LEASE_PREFIX}{node}")
}

/// A director's lease: the node that runs it.
pub fn director(name: &str) -> String {
    format!("rally:director:{name}")
}

/// Who owns a match: a cache of what Postgres says.
pub fn owner(id: MatchId) -> String {
    format!("rally:{{m:{id}}}:owner")
}

/// Slots over which checkpoints are spread: those of one slot are written together.
pub const CHECKPOINT_SLOTS: u8 = 16;

/// In which of [`CHECKPOINT_SLOTS`] a match's checkpoint is.
pub fn checkpoint_slot(id: MatchId) -> u8 {
    // The last byte of a UUID of version 7 is random.
    id.as_bytes()[15] % CHECKPOINT_SLOTS
}

/// The newest checkpoint of a match. A name of its own for each form: workers of two versions live side by side for a
/// while, and neither shall stumble over the other's.
pub fn checkpoint(id: MatchId) -> String {
    format!("rally:{{c:{}}}:state2:{id}", checkpoint_slot(id))
}

/// The journal that goes with the checkpoint.
pub fn journal(id: MatchId) -> String {
    format!("rally:{{c:{}}}:journal2:{id}", checkpoint_slot(id))
}

/// List: what an operator tells a node to do.
pub fn orders(node: NodeId) -> String {
    format!("rally:orders:{node}")
}

/// What a worker says of the matches that are played there and may be watched.
pub fn live(node: NodeId) -> String {
    format!("rally:live:{node}")
}

/// Sorted set: users waiting in a queue by the time at which they came.
pub fn queue_waiting(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:waiting")
}

/// Hash: user -> the ticket.
pub fn queue_tickets(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:tickets")
}

/// Sorted set: users by the time at which what is known of them in this queue expires.
pub fn queue_expiry(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:expiry")
}

/// Hash: user -> the match that is being made for them, or was.
pub fn queue_users(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:users")
}

/// Hash: match -> the pair that it was chosen for, until it exists.
pub fn queue_pending(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:pending")
}

/// How long the last ones waited in a queue, in milliseconds.
pub fn queue_waited(mode: Mode) -> String {
    format!("rally:{{q:{mode}}}:waited")
}

/// In which queue a user waits, over all modes: mode and session.
pub fn queued_user(user: UserId) -> String {
    format!("rally:{{u:{user}}}:queued")
}

/// Hash: invitation -> when it ends in ms, whose it is, and what it says; of all invitations to a user.
pub fn invites(user: UserId) -> String {
    format!("rally:{{u:{user}}}:invites")
}

/// Who wants to play a finished match's opponent again.
pub fn rematch(id: MatchId) -> String {
    format!("rally:{{m:{id}}}:rematch")
}

/// A session that can be resumed.
pub fn session(id: SessionId) -> String {
    format!("rally:session:{id}")
}

/// A count that all nodes keep together: of what, and of whom.
pub fn limit(what: &str, who: &str) -> String {
    format!("rally:limit:{what}:{who}")
}

/// An answer that is kept for a moment.
pub fn cached(what: &str) -> String {
    format!("rally:cache:{what}")
}

/// A value that is taken once.
pub fn once(what: &str) -> String {
    format!("rally:once:{what}")
}

/// Sorted set: logins that have ended, by the time at which they are forgotten.
pub const REVOKED: &str = "rally:{revoked}:logins";

/// What changes with each of [`REVOKED`].
pub const REVOKED_NUMBER: &str = "rally:{revoked}:number";

/// Hash: session -> where it is and what it shows, for all sessions of a user.
pub fn presence(user: UserId) -> String {
    format!("rally:presence:{user}")
}
