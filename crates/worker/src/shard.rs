//! The pairs and the host, joined: all that the tick thread owns.
//!
//! No clock, no IO and no waiting. The loop hands in what came ([`Shard::receive`], [`Shard::answer`]), runs a phase
//! of a tick ([`Shard::tick_phase`]), then takes the bundles ([`Shard::flush`]) and the effects ([`Shard::effects`]).

use bytes::Bytes;
use rally_fabric::{Nodes, PairStats, Pairs, ReceiveError};
use rally_units::{Instant, NodeId};

use crate::{
    effect::{Answer, Effect},
    host::{Host, HostConfig, Say, Word},
};

pub(crate) struct Shard {
    pairs: Pairs,
    host: Host,
}

impl Shard {
    pub(crate) fn new(config: HostConfig, pairs: Pairs) -> Self {
        Self { pairs, host: Host::new(config) }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// A bundle came.
    pub(crate) fn receive(&mut self, now: Instant, bundle: &[u8]) -> Result<(), ReceiveError> {
        let Self { pairs, host } = self;
        let result = pairs.receive(now, bundle, |received| host.received(received));
        self.speak();
        result
    }

    /// Postgres, Redis or a director has answered.
    pub(crate) fn answer(&mut self, now: Instant, answer: Answer) {
        self.host.answer(now, answer);
        self.speak();
    }

    /// The matches have stood still, and go on from here.
    pub(crate) fn thaw(&mut self) {
        self.host.thaw();
    }

    /// Ticks the matches of one phase.
    pub(crate) fn tick_phase(&mut self, phase: usize) {
        self.host.tick_phase(phase, &mut self.pairs);
        self.speak();
    }

    /// What is due now and then: edges that went silent, matches whose afterlife is over, owners to be told.
    pub(crate) fn housekeep(&mut self, now: Instant, nodes: &Nodes) {
        for node in nodes.iter() {
            self.pairs.meet(node.id, node.incarnation);
        }
        self.host.housekeep(now, &mut self.pairs);
        self.speak();
    }

    /// Hands out the bundles that are due.
    pub(crate) fn flush(&mut self, now: Instant, send: impl FnMut(NodeId, Bytes)) {
        self.pairs.flush(now, send);
    }

    /// What the pairs did since the last call.
    pub(crate) fn take_stats(&mut self) -> PairStats {
        self.pairs.take_stats()
    }

    /// What is to be done outside, since the last call.
    pub(crate) fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.host.effects()
    }

    fn speak(&mut self) {
        for Word { to, match_id, epoch, say } in self.host.words() {
            let said = match say {
                Say::Control(control) => self.pairs.control(to, match_id, epoch, &control),
                Say::Message(message) => self.pairs.message(to, match_id, epoch, message),
            };
            if let Err(error) = said {
                // A peer that has acknowledged nothing for thousands of entries is lost. It attaches again when it is
                // back, and then gets the whole picture.
                metrics::counter!("rally_worker_unsaid_total").increment(1);
                tracing::warn!(%to, %match_id, %error, "peer does not acknowledge; dropped an entry for it");
            }
        }
    }
}
