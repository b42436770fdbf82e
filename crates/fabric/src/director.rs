//! A director's lease: a hint about who runs a loop of which the cluster needs one.
//!
//! It is only a hint: two nodes may hold it for a moment, so every effect of a director is conditional elsewhere.

use rally_units::Instant;

use crate::{Fabric, RedisError};

/// One director's lease, as this node sees it. Call [`try_hold`](Self::try_hold) every 250 ms.
#[derive(Clone, Debug)]
pub struct Director {
    fabric: Fabric,
    name: String,
    held_since_sent: Option<Instant>,
}

impl Fabric {
    /// The lease of the director with this name. Asks nothing yet.
    pub fn director(&self, name: impl Into<String>) -> Director {
        Director { fabric: self.clone(), name: name.into(), held_since_sent: None }
    }
}

impl Director {
    /// Takes the lease if nobody has it, renews it if this node has it: for 1 s. Returns whether this node has it.
    pub async fn try_hold(&mut self) -> Result<bool, RedisError> {
        let _ = (&self.fabric, &self.name);
        todo!()
    }

    /// Whether the lease is this node's: for 750 ms after the last success was asked for.
    pub fn holds(&self, now: Instant) -> bool {
        let _ = (now, self.held_since_sent);
        todo!()
    }

    /// Gives the lease up, so that another may take it at once.
    pub async fn release(&mut self) -> Result<(), RedisError> {
        todo!()
    }
}
