//! Redis behind our own types: registry, mailboxes, topics, queue, probes.
//!
//! - [`pair`]: what two nodes owe each other, without IO: bundles out, entries in, numbered ones exactly once.
//! - [`Fabric`]: the connection to Redis. It carries bundles from mailbox to mailbox, keeps this node's lease, and
//!   knows the other nodes.
//!
//! Shells join the two: bundles that `Pairs` seals go to [`Fabric::send`], what comes out of
//! [`Fabric::take_mailbox`] goes into `Pairs`. The client library does not show through, so that it can be replaced.
//!
//! Redis is a hint, never an authority: everything here may be lost at any moment and is made again by its owners.

pub mod pair;

mod cache;
mod checkpoints;
mod commands;
mod config;
mod director;
mod error;
mod fabric;
mod invites;
mod lease;
mod limits;
mod link;
mod live;
mod mailbox;
mod membership;
mod once;
mod operator;
mod orders;
mod owners;
mod presence;
mod queue;
mod registry;
mod revoked;
mod sessions;
mod survey;
mod topics;

pub use cache::Cache;
pub use checkpoints::{Checkpoint, Held, Stored};
pub use config::{Bounds, FabricConfig, Role};
pub use director::Director;
pub use error::{CheckError, ConnectError, ReadyError, RedisCause, RedisError};
pub use fabric::{Fabric, LinkState};
pub use invites::{INVITES_MAX, Invites};
pub use lease::Lease;
pub use limits::{SharedLimits, SharedRate};
pub use link::{plain_host, wants_tls};
pub use live::{LIVE_MAX, LiveMatch, LiveMatches, LivePlayer};
pub use once::Once;
pub use operator::Operator;
pub use owners::{Owned, Owner};
pub use pair::{PairStats, Pairs, ReceiveError, Received, Refused, SendError};
pub use presence::{PRESENCE_FOR, Presence, PresenceChange, PresenceSet};
pub use queue::{Joined, Left, Pair, Queue, QueueStatus, Ticket, TicketRef};
pub use registry::{Node, Nodes};
pub use revoked::{REVOKED_MAX, Revocations, RevokedLogins};
pub use sessions::Sessions;
pub use topics::{TopicEvent, TopicStream, Topics};
