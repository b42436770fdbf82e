//! What can go wrong, by operation.

use rally_units::Incarnation;

/// A configuration with which no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address that the client library does not understand. It is not shown: it may hold a password.
    #[error("{setting} is not the address of a Redis server: {reason}")]
    Url {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An address asks for TLS, and the configuration has none.
    #[error("{0} asks for TLS, which is not configured")]
    NoTls(&'static str),
    /// A node needs a name.
    #[error("the node's name is empty")]
    Name,
    /// Zero would stop everything.
    #[error("{0} must be at least 1")]
    Bound(&'static str),
}

/// A Redis that is reachable, and not fit for us.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It would throw leases and queues away at will.
    #[error(
        "Redis evicts keys when memory is short (maxmemory-policy {policy}): leases and queues would vanish. \
         Set maxmemory-policy to noeviction"
    )]
    Evicts {
        /// The policy found.
        policy: String,
    },
    /// It did not answer.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// Why this node is not part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// Two processes have the same name.
    #[error("another living node is called {name:?} (incarnation {other}): names must be unique")]
    NameTaken {
        /// This node's name.
        name: String,
        /// Who holds it.
        other: Incarnation,
    },
    /// The cluster speaks another language: its bundles would not be read, nor ours.
    #[error(
        "node {other:?} speaks version {theirs} of the cluster's protocol, this one {ours}: let the others end first, or start this one with a Redis of its own"
    )]
    OtherProtocol {
        /// One of those who live.
        other: String,
        /// What it speaks.
        theirs: u8,
        /// What this node speaks.
        ours: u8,
    },
    /// A Redis that is not fit for us.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The node is shutting down.
    #[error("shutting down")]
    Shutdown,
}

/// A command that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("redis: {operation}: {cause}")]
pub struct RedisError {
    /// What was being done.
    pub operation: &'static str,
    /// What happened.
    pub cause: RedisCause,
}

/// Why a command failed. In the first three cases it may have been carried out all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisCause {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection.
    #[error("not connected")]
    Disconnected,
    /// Too many commands wait already.
    #[error("too many commands wait")]
    Backpressure,
    /// Redis said no.
    #[error("{0}")]
    Reply(String),
    /// An answer of a shape that we do not know.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// A bound of ours.
    #[error("{0} reached")]
    Bound(&'static str),
}

impl RedisCause {
    /// A fixed label for counters.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Backpressure => "backpressure",
            Self::Reply(_) => "reply",
            Self::Malformed(_) => "malformed",
            Self::Bound(_) => "bound",
        }
    }
}

impl RedisError {
    pub(crate) const fn new(operation: &'static str, cause: RedisCause) -> Self {
        Self { operation, cause }
    }
}
