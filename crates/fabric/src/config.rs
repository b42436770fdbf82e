//! What a node tells the fabric about itself, and the fabric's bounds.

use std::{fmt, sync::Arc, time::Duration};

use rally_protocol::cluster::v1::VERSION;
use rally_units::{Incarnation, Instant, NodeId};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holds connections of players.
    Edge,
    /// Runs matches.
    Worker,
}

impl Role {
    /// Its name, as in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Worker => "worker",
        }
    }
}

/// A node and the Redis servers that it uses.
#[derive(Clone)]
pub struct FabricConfig {
    /// Keys, leases, topics: `redis://[user:password@]host:port`, `redis-cluster://host:port[?node=host:port]..`, or
    /// `redis-sentinel://host:port/?sentinelServiceName=..`; with `rediss` in place of `redis`, over TLS.
    pub redis_url: String,
    /// Where mailboxes are. All nodes must name the same servers in the same order. Empty means `redis_url` alone.
    pub bus_urls: Vec<String>,
    /// Whom to trust where an address asks for TLS, and how to prove oneself.
    pub tls: Option<Arc<ClientConfig>>,
    /// This node's name, unique in the cluster while it lives.
    pub name: String,
    /// This start of it: random.
    pub incarnation: Incarnation,
    /// What it does.
    pub role: Role,
    /// An edge's address for browsers.
    pub public_url: Option<String>,
    /// The version of the program, for people.
    pub version: String,
    /// The version of bundles that it speaks. Nodes that speak different ones are no cluster.
    pub protocol: u8,
    /// When the node may join; `None`: at once. Whoever wants to look at something first says so here.
    pub may_join: Option<watch::Receiver<bool>>,
    /// A monotonic clock that counts suspension.
    pub clock: fn() -> Instant,
    /// How much of everything.
    pub bounds: Bounds,
}

impl FabricConfig {
    /// A node with the defaults of everything that has one.
    pub fn new(
        redis_url: impl Into<String>,
        name: impl Into<String>,
        incarnation: Incarnation,
        role: Role,
        clock: fn() -> Instant,
    ) -> Self {
        Self {
            redis_url: redis_url.into(),
            bus_urls: Vec::new(),
            tls: None,
            name: name.into(),
            incarnation,
            role,
            public_url: None,
            version: String::new(),
            protocol: VERSION,
            may_join: None,
            clock,
            bounds: Bounds::default(),
        }
    }

    /// The id that follows from the name.
    pub fn node(&self) -> NodeId {
        NodeId::of_name(&self.name)
    }
}

impl fmt::Debug for FabricConfig {
    /// Without the addresses, which may carry passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FabricConfig")
            .field("name", &self.name)
            .field("node", &self.node())
            .field("incarnation", &self.incarnation)
            .field("role", &self.role)
            .field("public_url", &self.public_url)
            .field("version", &self.version)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// How much of everything. At each bound the newest is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bundles received and not yet taken: two seconds at 2,000 a second.
    pub inbox_len_max: usize,
    /// Bundles to send and not yet handed to the client library, for each bus.
    pub outbox_len_max: usize,
    /// Bundles handed over and not yet answered by Redis, for each bus.
    pub in_flight_max: usize,
    /// How long a command may take before it fails.
    pub command_timeout: Duration,
    /// Messages of a topic that a slow reader may be behind.
    pub topic_len_max: usize,
    /// Topics subscribed at once.
    pub topics_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            inbox_len_max: 4_096,
            outbox_len_max: 4_096,
            in_flight_max: 1_024,
            command_timeout: Duration::from_millis(500),
            topic_len_max: 256,
            topics_max: 4_096,
        }
    }
}
