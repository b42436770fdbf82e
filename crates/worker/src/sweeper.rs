//! The director that clears up after workers that are gone, where nobody has gone on with their matches: the last resort.
//! These are void, and their players free.
//!
//! It takes a match before it voids it, so that an owner who is merely slow is fenced off rather than contradicted. What
//! it has tried to take it remembers until it is ended: by then nobody else would look for it.

use std::{collections::HashMap, time::Duration};

use rally_fabric::{Fabric, LinkState};
use rally_service::{clock, drain::Drain, traces};
use rally_store::{EndReason, FenceError, Owner, Ownership, Store, StoreError};
use rally_units::{Epoch, Instant, MatchId};
use tokio::time::MissedTickBehavior;

/// How often the director's lease is renewed. It lives for a second.
const HOLD_EVERY: Duration = Duration::from_millis(250);
/// How often owners are compared with the registry.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an owner must have been missing with matches that nobody has taken. Recovery takes a second or two.
const MISSING_FOR: Duration = Duration::from_secs(30);
/// How long this node's own link must have held before it judges others.
const LINK_HELD_FOR: Duration = Duration::from_secs(2);

pub(crate) struct Sweeper {
    fabric: Fabric,
    store: Store,
    me: Owner,
    drain: Drain,
    missing_since: HashMap<Owner, Instant>,
    /// Taken, perhaps, and not ended yet; with the epoch that the taking gave.
    to_void: HashMap<MatchId, Epoch>,
}

impl Sweeper {
    pub(crate) fn new(fabric: Fabric, store: Store, me: Owner, drain: Drain) -> Self {
        Self { fabric, store, me, drain, missing_since: HashMap::new(), to_void: HashMap::new() }
    }

    /// Runs until this worker drains.
    pub(crate) async fn run(mut self) {
        let mut director = self.fabric.director("sweeper");
        let mut hold = tokio::time::interval(HOLD_EVERY);
        hold.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_look = clock::now();
        loop {
            tokio::select! {
                _ = self.drain.begun() => break,
                _ = hold.tick() => {}
            }
            let holds = matches!(director.try_hold().await, Ok(true));
            let now = clock::now();
            let judges = holds && self.may_judge(now);
            if !judges {
                self.missing_since.clear();
            }
            if now >= next_look {
                next_look = now + LOOK_EVERY;
                let looked = if judges { self.look(now).await } else { Ok(()) };
                // What was taken is ended by whoever took it, also when another has become the director.
                let ended = self.void().await;
                if let Err(error) = looked.and(ended) {
                    tracing::debug!(%error, "cannot look for orphans, or not end them");
                }
            }
        }
        if let Err(error) = director.release().await {
            tracing::debug!(%error, "the sweeper's lease runs out by itself");
        }
    }

    /// Its own lease, because only then is its picture of the registry a new one.
    fn may_judge(&self, now: Instant) -> bool {
        let link = *self.fabric.link().borrow();
        self.fabric.lease().holds(now) && matches!(link, LinkState::Up { since } if now.since(since) >= LINK_HELD_FOR)
    }

    async fn look(&mut self, now: Instant) -> Result<(), StoreError> {
        let owners = self.store.live_owners().await?;
        let nodes = self.fabric.nodes();
        let is_missing = |owner: &Owner| !nodes.lives(owner.node, owner.incarnation);
        self.missing_since.retain(|owner, _| owners.contains_key(owner) && is_missing(owner));
        for owner in owners.into_keys().filter(is_missing) {
            let since = *self.missing_since.entry(owner).or_insert(now);
            if now.since(since) >= MISSING_FOR {
                self.take(owner).await?;
            }
        }
        Ok(())
    }

    /// Takes up to a hundred matches of an owner; the next look takes more.
    async fn take(&mut self, owner: Owner) -> Result<(), StoreError> {
        let orphans = self.store.live_matches_of(owner).await?;
        // Before it is known what was taken: an answer that is lost must not leave them to us for ever.
        self.to_void.extend(orphans.iter().map(|(match_id, epoch)| (*match_id, epoch.next())));
        let taken = self.store.take(&orphans, self.me).await?;
        tracing::warn!(worker = %owner.node, matches = taken.len(), "voiding matches of a worker that is gone");
        Ok(())
    }

    async fn void(&mut self) -> Result<(), StoreError> {
        let all: Vec<_> = self.to_void.iter().map(|(match_id, epoch)| (*match_id, *epoch)).collect();
        for (match_id, epoch) in all {
            match self.store.void_match(match_id, Ownership { owner: self.me, epoch }, EndReason::Abandoned).await {
                Ok(()) => {
                    traces::match_over(match_id, "abandoned");
                    metrics::counter!("rally_sweeper_voided_total").increment(1);
                }
                // Not taken after all: it is found again with its owner's others.
                Err(FenceError::Fenced { .. } | FenceError::Ended | FenceError::NoSuchMatch) => {}
                Err(FenceError::Store(error)) if error.is_unavailable() => return Err(error),
                // The others must not wait for this one.
                Err(FenceError::Store(error)) => {
                    tracing::warn!(%match_id, %error, "cannot end an orphan");
                    continue;
                }
            }
            self.to_void.remove(&match_id);
        }
        Ok(())
    }
}
