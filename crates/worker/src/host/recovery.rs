//! Matches whose worker is gone: who takes them, and how they go on.
//!
//! No worker is in charge. Each looks at the leases, and for each match of a worker that is missing rendezvous hashing
//! names the survivor who takes it; Postgres grants it the next epoch, or does not. What is taken is fetched: from its
//! checkpoint, else by its score. Should the survivor that was named not act, any other does after a while.

use std::time::Duration;

use rally_protocol::cluster::v1::Control;
use rally_room::Room;
use rally_store::Owner;
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, placement::rendezvous};

use super::{
    Host,
    copies::{Copies, Saved},
    hosted::Hosted,
    phase_of,
};
use crate::effect::{Effect, Fetch, Found, TakeFor};

/// How often Postgres is asked whose matches live, for workers that ended before this one could see them.
const ASK_OWNERS_EVERY: Duration = Duration::from_secs(2);
/// How often the matches of one missing worker are asked for.
const ASK_ORPHANS_EVERY: Duration = Duration::from_millis(500);
/// When matches that the survivor named has not taken are everybody's.
const ANYBODYS_AFTER: Duration = Duration::from_secs(3);
/// Missing workers remembered; more come to light by their matches.
const MISSING_MAX: usize = 256;

/// A worker as the registry shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    /// Matches hosted.
    pub(crate) matches: u32,
    pub(crate) draining: bool,
}

/// A worker that is gone and may have left matches.
#[derive(Clone, Copy, Debug)]
struct Missing {
    owner: Owner,
    since: Instant,
    ask_at: Instant,
    /// A question is under way.
    asking: bool,
}

#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Workers as they were last seen.
    pub(super) peers: Vec<Peer>,
    missing: Vec<Missing>,
    ask_owners_at: Instant,
    asking_owners: bool,
}

impl Recovery {
    pub(super) fn lives(&self, owner: Owner) -> bool {
        self.peers.iter().any(|peer| peer.node == owner.node && peer.incarnation == owner.incarnation)
    }

    /// Whether it is gone, by what this worker has seen. One that has just started has seen nobody.
    pub(super) fn misses(&self, owner: Owner) -> bool {
        !self.peers.is_empty() && !self.lives(owner)
    }

    fn miss(&mut self, now: Instant, owner: Owner) {
        if self.missing.len() < MISSING_MAX && self.missing.iter().all(|missing| missing.owner != owner) {
            self.missing.push(Missing { owner, since: now, ask_at: now, asking: false });
        }
    }

    /// Who takes this match: of the workers that stay, if there are any.
    fn heir(&self, match_id: MatchId) -> Option<NodeId> {
        let staying = self.peers.iter().filter(|peer| !peer.draining).map(|peer| peer.node);
        let all = self.peers.iter().map(|peer| peer.node);
        rendezvous(match_id.as_bytes(), staying).or_else(|| rendezvous(match_id.as_bytes(), all))
    }
}

impl Host {
    /// The workers that live, this one among them. `may_judge`: who is missing is gone.
    pub(crate) fn survey(&mut self, now: Instant, peers: &[Peer], may_judge: bool) {
        if !may_judge {
            return;
        }
        let me = self.me();
        let before = std::mem::replace(&mut self.recovery.peers, peers.to_vec());
        for Peer { node, incarnation, .. } in before {
            let owner = Owner { node, incarnation };
            if owner != me && !self.recovery.lives(owner) {
                tracing::warn!(worker = %node, %incarnation, "a worker is gone; its matches are taken over");
                self.recovery.miss(now, owner);
            }
        }
        if now >= self.recovery.ask_owners_at && !self.recovery.asking_owners {
            (self.recovery.ask_owners_at, self.recovery.asking_owners) = (now + ASK_OWNERS_EVERY, true);
            self.effects.push(Effect::FindOwners);
        }
        for missing in &mut self.recovery.missing {
            if now >= missing.ask_at && !missing.asking {
                (missing.ask_at, missing.asking) = (now + ASK_ORPHANS_EVERY, true);
                self.effects.push(Effect::FindOrphans(missing.owner));
            }
        }
    }

    /// Whose matches live, by Postgres; `None` if it did not say.
    pub(super) fn owners_found(&mut self, now: Instant, owners: Option<Vec<Owner>>) {
        self.recovery.asking_owners = false;
        let me = self.me();
        for owner in owners.into_iter().flatten() {
            if owner != me && !self.recovery.lives(owner) {
                self.recovery.miss(now, owner);
            }
        }
    }

    /// What a worker that is gone has left.
    pub(super) fn orphans_found(&mut self, now: Instant, owner: Owner, orphans: Option<Vec<(MatchId, Epoch)>>) {
        let Some(missing) = self.recovery.missing.iter_mut().find(|missing| missing.owner == owner) else { return };
        missing.asking = false;
        let since = missing.since;
        let Some(orphans) = orphans else { return };
        // It was not gone after all, or nothing is left of it.
        if orphans.is_empty() || self.recovery.lives(owner) {
            self.recovery.missing.retain(|missing| missing.owner != owner);
            return;
        }
        let is_anybodys = now.since(since) >= ANYBODYS_AFTER;
        let mine =
            |(match_id, _): &(MatchId, Epoch)| is_anybodys || self.recovery.heir(*match_id) == Some(self.config.me);
        let wanted: Vec<_> = orphans.into_iter().filter(mine).collect();
        if !wanted.is_empty() {
            self.effects.push(Effect::Take { why: TakeFor::Recovery, expected: wanted });
        }
    }

    /// Postgres has granted these. They are hosted here as soon as it is known how they stand.
    pub(super) fn orphans_taken(&mut self, taken: Vec<(MatchId, Epoch)>) {
        if !taken.is_empty() {
            self.metrics.recoveries_begun.increment(taken.len() as u64);
            self.effects.push(Effect::Fetch { matches: taken, from: Fetch::Checkpoint });
        }
    }

    /// How a match that was taken stands.
    pub(super) fn fetched(&mut self, now: Instant, match_id: MatchId, epoch: Epoch, found: Found) {
        if self.find(match_id).is_some_and(|hosted| hosted.epoch >= epoch) {
            return;
        }
        if self.find(match_id).is_some_and(|own| own.is_newer_than(&found, epoch)) {
            let Some(mut own) = self.phases[phase_of(match_id)].remove(&match_id) else { return };
            tracing::info!(%match_id, %epoch, tick = %own.room.tick_count(), "a match goes on from where it stood here");
            own.goes_on_from_memory(now, epoch);
            return self.take_in(match_id, own);
        }
        let hosted = match found {
            Found::Copy { state, journal, told, .. } => match Saved::restore(&state, &journal, epoch) {
                // Redis has lost what it was told last, and the owner is lost, too. Nobody shall lose a goal that was seen.
                Ok((_, room, _)) if (0..2).any(|i| room.score()[i] < told[i]) => {
                    tracing::warn!(%match_id, %epoch, score = ?room.score(), ?told, "a checkpoint is too old");
                    return self.fetch_score(match_id, epoch);
                }
                Ok((saved, mut room, written)) => {
                    room.recovered();
                    let copies = Copies::after(written);
                    tracing::info!(%match_id, %epoch, tick = %room.tick_count(), "recovered a match from its checkpoint");
                    self.metrics.recovered_from_checkpoint.increment(1);
                    Hosted::restored(saved, room, copies, now)
                }
                Err(error) => {
                    tracing::error!(%match_id, %epoch, %error, "a checkpoint cannot be gone on from");
                    return self.fetch_score(match_id, epoch);
                }
            },
            Found::Score { spec, seed, score } => {
                let mut room_config = self.config.room;
                room_config.score_to_win = spec.score_to_win;
                let spec = spec.spec;
                // A stream of its own: the one before may have been drawn from.
                let seed = seed ^ u64::from(epoch.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let room = match score {
                    Some(score) => {
                        let mut room = Room::resumed(spec.clone(), seed, epoch, room_config, score);
                        room.moved();
                        room
                    }
                    // Nothing had been played.
                    None => Room::new(spec.clone(), seed, epoch, room_config),
                };
                tracing::warn!(%match_id, %epoch, ?score, "a match goes on without a checkpoint");
                self.metrics.recovered_from_score.increment(1);
                let mut hosted = Hosted::new(spec, room);
                hosted.begun(score.is_some());
                hosted
            }
            Found::Over => {
                // While it was asked for, another took it, or it ended.
                if self.find(match_id).is_some_and(|own| own.granted == Some(epoch)) {
                    self.fenced(match_id);
                }
                return;
            }
        };
        self.take_in(match_id, hosted);
    }

    /// There is a checkpoint, and it cannot be gone on from.
    fn fetch_score(&mut self, match_id: MatchId, epoch: Epoch) {
        self.metrics.checkpoints_unusable.increment(1);
        self.effects.push(Effect::Fetch { matches: vec![(match_id, epoch)], from: Fetch::Score });
    }

    /// Hosts a match that was hosted elsewhere, and says so to its edges and the cache.
    pub(super) fn take_in(&mut self, match_id: MatchId, mut hosted: Hosted) {
        let epoch = hosted.epoch;
        for attached in &hosted.attached {
            self.tell(attached.edge, match_id, epoch, Control::Here);
        }
        self.effects.push(Effect::Own(vec![(match_id, epoch)]));
        hosted.note(&mut self.effects);
        self.phases[phase_of(match_id)].insert(match_id, hosted);
    }

    pub(super) fn me(&self) -> Owner {
        Owner { node: self.config.me, incarnation: self.config.incarnation }
    }
}
