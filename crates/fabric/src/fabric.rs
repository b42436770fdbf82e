//! The handle on all that goes through Redis.

use std::sync::Arc;

use bytes::Bytes;
use rally_protocol::cluster::v1::NodeLoad;
use rally_units::{Instant, NodeId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{CheckError, ConnectError, FabricConfig, Lease, Nodes, ReadyError};

/// Whether messages get through, judged by messages of this node to itself through its own mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They do.
    Up {
        /// Since when without a break.
        since: Instant,
    },
    /// None has for 250 ms.
    Silent {
        /// When the last one came (the start of the fabric, if none did).
        since: Instant,
    },
}

/// The connection of this node to all others. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Fabric {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {}

impl Fabric {
    /// Starts the tasks, within a tokio runtime. Redis need not be up: see [`ready`](Self::ready). All tasks end when
    /// `shutdown` is cancelled; the node then leaves the registry by itself.
    pub fn connect(config: FabricConfig, shutdown: CancellationToken) -> Result<Self, ConnectError> {
        let _ = (config, shutdown);
        todo!()
    }

    /// Asks Redis whether it is fit for us: it must not evict keys.
    pub async fn check(&self) -> Result<(), CheckError> {
        todo!()
    }

    /// Resolves once this node is part of the cluster: it holds its lease, its mailbox has been proved by a message to
    /// itself, and Redis has passed [`check`](Self::check). Fails when another living node has its name. Waits for
    /// as long as Redis is away.
    pub async fn ready(&self) -> Result<(), ReadyError> {
        let _ = &self.inner;
        todo!()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        todo!()
    }

    /// Sends a bundle to a node's mailbox. Never blocks, and may be called from any thread. `false`: too many bundles
    /// wait, it was dropped and counted. There is no promise of delivery either way.
    pub fn send(&self, to: NodeId, bundle: Bytes) -> bool {
        let _ = (to, bundle);
        todo!()
    }

    /// What comes to this node's mailbox: sealed bundles, still to be judged by [`Pairs::receive`](crate::Pairs::receive).
    /// When it is full, further ones are dropped and counted. Only the first call gets it.
    pub fn take_mailbox(&self) -> Option<mpsc::Receiver<Bytes>> {
        todo!()
    }

    /// The living nodes.
    pub fn nodes(&self) -> Arc<Nodes> {
        todo!()
    }

    /// How busy this node is; goes out with the next renewal of its lease.
    pub fn set_load(&self, load: NodeLoad) {
        let _ = load;
        todo!()
    }

    /// This node's lease.
    pub fn lease(&self) -> Lease {
        todo!()
    }

    /// Whether messages get through.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        todo!()
    }
}
