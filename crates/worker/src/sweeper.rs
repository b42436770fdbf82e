//! The director that clears up after workers that are gone: their matches are void, their players free.
//!
//! It takes a match before it voids it, so that an owner who is merely slow is fenced off rather than contradicted.

use std::{collections::HashMap, time::Duration};

use rally_fabric::{Fabric, LinkState};
use rally_service::{clock, drain::Drain};
use rally_store::{EndReason, Owner, Store, StoreError};
use rally_units::Instant;

/// How often owners are compared with the registry.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an owner must have been missing. Several leases, so that a short absence of Redis kills nothing.
const MISSING_FOR: Duration = Duration::from_secs(5);
/// How long this node's own link must have held before it judges others.
const LINK_HELD_FOR: Duration = Duration::from_secs(2);

pub(crate) struct Sweeper {
    pub(crate) fabric: Fabric,
    pub(crate) store: Store,
    pub(crate) me: Owner,
    pub(crate) drain: Drain,
}

impl Sweeper {
    /// Runs until this worker drains.
    pub(crate) async fn run(self) {
        let mut lease = self.fabric.director("sweeper");
        let mut missing_since: HashMap<Owner, Instant> = HashMap::new();
        loop {
            tokio::select! {
                _ = self.drain.begun() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let holds = matches!(lease.try_hold().await, Ok(true));
            let link = *self.fabric.link().borrow();
            let now = clock::now();
            let judges = holds && matches!(link, LinkState::Up { since } if now.since(since) >= LINK_HELD_FOR);
            if !judges {
                missing_since.clear();
                continue;
            }
            if let Err(error) = self.look(now, &mut missing_since).await {
                tracing::debug!(%error, "cannot look for orphans");
            }
        }
    }

    async fn look(&self, now: Instant, missing_since: &mut HashMap<Owner, Instant>) -> Result<(), StoreError> {
        let owners = self.store.live_owners().await?;
        let nodes = self.fabric.nodes();
        missing_since.retain(|owner, _| owners.contains_key(owner) && !nodes.lives(owner.node, owner.incarnation));
        for owner in owners.into_keys().filter(|owner| !nodes.lives(owner.node, owner.incarnation)) {
            let since = *missing_since.entry(owner).or_insert(now);
            if now.since(since) >= MISSING_FOR {
                self.sweep(owner).await?;
            }
        }
        Ok(())
    }

    async fn sweep(&self, owner: Owner) -> Result<(), StoreError> {
        let orphans = self.store.live_matches_of(owner).await?;
        let taken = self.store.take(&orphans, self.me).await?;
        tracing::warn!(worker = %owner.node, matches = taken.len(), "voiding matches of a worker that is gone");
        for (match_id, epoch) in taken {
            match self.store.void_match(match_id, epoch, EndReason::Abandoned).await {
                Ok(()) => metrics::counter!("rally_sweeper_voided_total").increment(1),
                Err(error) => tracing::warn!(%match_id, %error, "cannot void an orphan"),
            }
        }
        Ok(())
    }
}
