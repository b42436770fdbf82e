//! A worker's process, as far as the others notice: a real shard, a lease, a mailbox, and the ways in which it can fail.

use bytes::Bytes;
use rally_fabric::Pairs;
use rally_protocol::cluster::BundleKeys;
use rally_room::RoomSettings;
use rally_store::Owner;
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

use super::{HOLDS, LEASE, SCORE_TO_WIN, SETTLED, SILENT, STEPS_PER_S, servers::Redis};
use crate::{
    effect::{Answer, Effect},
    host::{HostConfig, Peer},
    metrics::Metrics,
    pacing::PHASES,
    shard::Shard,
};

pub(super) struct Worker {
    pub(super) id: NodeId,
    life: Incarnation,
    shard: Option<Shard>,
    pub(super) frozen_until: Instant,
    /// Until when nobody hears it, and until when it hears nobody.
    pub(super) mute_until: Instant,
    pub(super) deaf_until: Instant,
    pub(super) mailbox: Vec<Bytes>,
    pub(super) answers: Vec<Answer>,
    pub(super) effects: Vec<Effect>,
    pub(super) sent: Vec<(NodeId, Bytes)>,
    asked_lease: Option<Instant>,
    renewed: Option<Instant>,
    lapses: u64,
    /// Since when its link has held.
    link_since: Option<Instant>,
    link_lost: Option<Instant>,
    memory_since: Instant,
    peers: Vec<Peer>,
    seen: Instant,
}

impl Worker {
    pub(super) fn new(i: usize) -> Self {
        let zero = Instant::default();
        Self {
            id: NodeId::of_name(&format!("worker-{i}")),
            life: Incarnation::from_bits(0),
            shard: None,
            frozen_until: zero,
            mute_until: zero,
            deaf_until: zero,
            mailbox: Vec::new(),
            answers: Vec::new(),
            effects: Vec::new(),
            sent: Vec::new(),
            asked_lease: None,
            renewed: None,
            lapses: 0,
            link_since: None,
            link_lost: None,
            memory_since: zero,
            peers: Vec::new(),
            seen: zero,
        }
    }

    pub(super) fn start(&mut self, now: Instant, life: Incarnation, keys: BundleKeys) {
        let config = HostConfig {
            me: self.id,
            incarnation: life,
            matches_max: 100,
            room: RoomSettings { score_to_win: SCORE_TO_WIN },
        };
        let pairs = Pairs::new(self.id, life, keys);
        let id = self.id;
        *self = Self { id, life, shard: Some(Shard::new(config, pairs, Metrics::new())), ..Self::new(0) };
        self.memory_since = now;
    }

    /// As by SIGKILL. What it has sent is under way.
    pub(super) fn kill(&mut self) {
        self.shard = None;
        self.mailbox.clear();
        self.answers.clear();
    }

    pub(super) fn is_alive(&self) -> bool {
        self.shard.is_some()
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { node: self.id, incarnation: self.life }
    }

    pub(super) fn speaks(&self, now: Instant) -> bool {
        now >= self.mute_until
    }

    pub(super) fn hears(&self, now: Instant) -> bool {
        now >= self.deaf_until
    }

    /// The epoch at which it hosts this match.
    pub(super) fn epoch_of(&self, match_id: MatchId) -> Option<Epoch> {
        self.shard.as_ref()?.host().epoch_of(match_id)
    }

    pub(super) fn turn(
        &mut self,
        now: Instant,
        step: u64,
        redis_answers: bool,
        redis: &mut Redis,
        edges: &[(NodeId, Incarnation)],
    ) {
        let (speaks, hears) = (self.speaks(now), self.hears(now));
        let Some(shard) = &mut self.shard else { return };
        if now < self.frozen_until {
            return;
        }
        let reaches_redis = redis_answers && speaks && hears;
        if reaches_redis {
            self.link_lost = None;
            self.link_since.get_or_insert(now);
        } else if self.link_since.is_some() && now.since(*self.link_lost.get_or_insert(now)) >= SILENT {
            self.link_since = None;
        }
        let link_is_up = self.link_since.is_some();
        if redis_answers && speaks && self.asked_lease.is_none_or(|asked| now.since(asked) >= LEASE / 4) {
            self.asked_lease = Some(now);
            let held = redis.leases.get(&self.id).filter(|(_, until, ..)| *until > now);
            let is_mine = held.is_none_or(|(owner, ..)| owner.incarnation == self.life);
            if held.is_none() {
                self.memory_since = now;
            }
            if is_mine {
                let host = shard.host();
                let owner = Owner { node: self.id, incarnation: self.life };
                redis.leases.insert(self.id, (owner, now + LEASE, host.load() as u32, host.is_draining()));
                if hears {
                    if self.renewed.is_some_and(|before| now.since(before) >= HOLDS) {
                        self.lapses += 1;
                    }
                    self.renewed = Some(now);
                }
            }
        }
        let holds = self.renewed.is_some_and(|renewed| now.since(renewed) < HOLDS);
        shard.look(now, (holds, self.lapses), link_is_up);
        for bundle in self.mailbox.drain(..) {
            let _ = shard.receive(now, &bundle);
        }
        for answer in self.answers.drain(..) {
            shard.answer(now, answer);
        }
        let per_step = PHASES * 60 / STEPS_PER_S as usize;
        for phase in 0..per_step {
            shard.tick_phase(now, (step as usize * per_step + phase) % PHASES);
        }
        if reaches_redis && step.is_multiple_of(STEPS_PER_S / 10) {
            let living = redis.leases.iter().filter(|(_, (_, until, ..))| *until > now);
            let peers = living.map(|(node, (owner, _, matches, draining))| Peer {
                node: *node,
                incarnation: owner.incarnation,
                matches: *matches,
                draining: *draining,
            });
            self.peers = peers.collect();
            // Its own is missing: Redis has forgotten.
            if self.peers.iter().any(|peer| peer.node == self.id) {
                self.seen = now;
            } else {
                self.memory_since = now;
            }
        }
        if step.is_multiple_of(STEPS_PER_S / 40) {
            let link_held = self.link_since.is_some_and(|since| now.since(since) >= SETTLED);
            let may_judge =
                holds && link_held && now.since(self.memory_since) >= SETTLED && now.since(self.seen).as_millis() < 400;
            shard.survey(now, &self.peers, may_judge);
        }
        if step.is_multiple_of(STEPS_PER_S / 4) {
            let mut living = edges.to_vec();
            living.extend(self.peers.iter().map(|peer| (peer.node, peer.incarnation)));
            shard.housekeep(now, &living);
        }
        let sent = &mut self.sent;
        shard.flush(now, |to, bundle| {
            if redis_answers && speaks {
                sent.push((to, bundle));
            }
        });
        self.effects.extend(shard.effects());
    }
}
