//! Who owns a match, as a cache of what Postgres says.

use std::time::Duration;

use rally_units::{Epoch, Incarnation, MatchId, NodeId};

use crate::{Fabric, RedisError};

/// How long an entry lives. Its owner asserts it again every 3 s.
pub(crate) const OWNER_TTL: Duration = Duration::from_secs(10);

/// The owner of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The worker.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// By which right.
    pub epoch: Epoch,
}

/// A match and its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The match.
    pub match_id: MatchId,
    /// Its owner.
    pub owner: Owner,
}

impl Fabric {
    /// Who owns this match, as far as Redis knows. `None` means: ask Postgres.
    pub async fn owner(&self, match_id: MatchId) -> Result<Option<Owner>, RedisError> {
        let _ = (match_id, OWNER_TTL);
        todo!()
    }

    /// Asserts owners, all in one pipeline. An entry of a higher epoch stays. Returns how many were accepted.
    pub async fn set_owners(&self, owned: &[Owned]) -> Result<usize, RedisError> {
        let _ = owned;
        todo!()
    }

    /// Forgets an owner, unless a higher epoch stands there by now. Returns whether it stood there.
    pub async fn clear_owner(&self, match_id: MatchId, epoch: Epoch) -> Result<bool, RedisError> {
        let _ = (match_id, epoch);
        todo!()
    }
}
