//! The pairs and the host, joined: all that the tick thread owns.
//!
//! No clock, no IO and no waiting. The loop hands in what came ([`Shard::receive`], [`Shard::answer`]) and how lease and
//! link stand ([`Shard::look`]), runs a phase of a tick ([`Shard::tick_phase`]), then takes the bundles
//! ([`Shard::flush`]) and the effects ([`Shard::effects`]).
//!
//! Matches stand still while the link is silent, since nobody would see them, and while the lease has lapsed, since
//! another may own them by then. After a lapse nothing at all is said until Postgres has confirmed what is still ours.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use rally_fabric::{PairStats, Pairs, ReceiveError};
use rally_units::{Incarnation, Instant, NodeId};

use crate::{
    effect::{Answer, Effect},
    host::{Host, HostConfig, Peer, Say, Word},
    metrics::Metrics,
    tenure::Tenure,
};

/// A node that has left the registry is forgotten once it has been silent for this long: its lease may only have lapsed.
const FORGET_AFTER: Duration = Duration::from_secs(10);

pub(crate) struct Shard {
    pairs: Pairs,
    host: Host,
    tenure: Tenure,
    stands_still: bool,
    /// To whom something numbered was said. What waits for a node that is gone must not wait for ever.
    spoken_to: BTreeSet<NodeId>,
    metrics: Metrics,
}

impl Shard {
    pub(crate) fn new(config: HostConfig, pairs: Pairs, metrics: Metrics) -> Self {
        Self {
            pairs,
            host: Host::new(config, metrics.clone()),
            tenure: Tenure::new(),
            stands_still: true,
            spoken_to: BTreeSet::new(),
            metrics,
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// A bundle came.
    pub(crate) fn receive(&mut self, now: Instant, bundle: &[u8]) -> Result<(), ReceiveError> {
        let Self { pairs, host, .. } = self;
        let result = pairs.receive(now, bundle, |received| host.received(now, received));
        self.speak();
        result
    }

    /// Postgres, Redis or a director has answered.
    pub(crate) fn answer(&mut self, now: Instant, answer: Answer) {
        if let Answer::Confirmed { lapse, .. } = answer {
            self.tenure.confirmed(lapse);
        }
        self.host.answer(now, answer);
        self.speak();
    }

    /// How the lease (whether it holds, and how often it has lapsed) and the link stand now.
    pub(crate) fn look(&mut self, now: Instant, (lease_holds, lapses): (bool, u64), link_is_up: bool) {
        if let Some(lapse) = self.tenure.look(lease_holds, lapses)
            && !self.host.confirm(lapse)
        {
            self.tenure.confirmed(lapse);
        }
        let stands_still = !self.tenure.speaks() || !link_is_up;
        if stands_still == self.stands_still {
            return;
        }
        self.stands_still = stands_still;
        self.metrics.frozen.set(f64::from(u8::from(stands_still)));
        if stands_still {
            tracing::warn!(lease_holds, link_is_up, "matches stand still");
        } else {
            tracing::info!("matches go on");
            self.host.thaw(now);
        }
    }

    /// Ticks the matches of one phase, unless they stand still.
    pub(crate) fn tick_phase(&mut self, now: Instant, phase: usize) {
        if !self.stands_still {
            self.host.tick_phase(now, phase, &mut self.pairs);
            self.speak();
        }
    }

    /// What is due now and then: edges that went silent, matches whose afterlife is over, owners to be told. `living` is
    /// the registry's picture, empty if there is none yet.
    pub(crate) fn housekeep(&mut self, now: Instant, living: &[(NodeId, Incarnation)]) {
        for (node, incarnation) in living {
            self.pairs.meet(*node, *incarnation);
        }
        // While the link is silent, so is everybody.
        if !self.stands_still {
            self.host.detach_silent(now, &self.pairs);
            self.forget_the_dead(now, living);
        }
        self.host.housekeep(now);
        self.speak();
    }

    fn forget_the_dead(&mut self, now: Instant, living: &[(NodeId, Incarnation)]) {
        if living.is_empty() {
            return;
        }
        let Self { pairs, host, spoken_to, .. } = self;
        spoken_to.retain(|node| {
            let lives = living.iter().any(|(id, _)| id == node);
            let stays = lives || now.since(host.last_heard(pairs, *node)) < FORGET_AFTER;
            if !stays {
                tracing::debug!(%node, "forgot a node that is gone");
                pairs.forget(*node);
            }
            stays
        });
    }

    /// The workers that live. `may_judge`: who is missing is gone.
    pub(crate) fn survey(&mut self, now: Instant, peers: &[Peer], may_judge: bool) {
        self.host.survey(now, peers, may_judge && !self.stands_still);
        self.speak();
    }

    /// How late ticks have been in the last second, in the 99th percentile.
    pub(crate) fn balance(&mut self, now: Instant, tick_lateness_us: u32) {
        self.host.balance(now, tick_lateness_us);
    }

    /// Hands out the bundles that are due: none while another may own what they are about.
    pub(crate) fn flush(&mut self, now: Instant, send: impl FnMut(NodeId, Bytes)) {
        if self.tenure.speaks() {
            self.pairs.flush(now, send);
        }
    }

    /// What is to be done outside, since the last call.
    pub(crate) fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.host.effects()
    }

    /// What the pairs counted, since the last call.
    pub(crate) fn take_stats(&mut self) -> PairStats {
        self.pairs.take_stats()
    }

    fn speak(&mut self) {
        for Word { to, match_id, epoch, say } in self.host.words() {
            self.spoken_to.insert(to);
            let said = match say {
                Say::Inputs(records) => {
                    self.pairs.inputs(to, match_id, epoch, &records);
                    Ok(())
                }
                Say::State(state) => {
                    self.pairs.state(to, match_id, epoch, &state);
                    Ok(())
                }
                Say::Control(control) => self.pairs.control(to, match_id, epoch, &control),
                Say::Message(message) => self.pairs.message(to, match_id, epoch, message),
            };
            if let Err(error) = said {
                // A peer that has acknowledged nothing for thousands of entries is lost. It attaches again when it is
                // back, and then gets the whole picture.
                self.metrics.unsaid.increment(1);
                tracing::debug!(%to, %match_id, %error, "peer does not acknowledge; dropped an entry for it");
            }
        }
    }
}
