//! The thread that ticks: the only owner of the [`Shard`], with no lock and no wait but the one for its next deadline.
//!
//! It shares the worker's process with a runtime that talks to Redis and Postgres; what passes between the two are
//! bounded channels that are only ever tried.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rally_fabric::{Fabric, LinkState, LiveMatch, Role};
use rally_protocol::cluster::v1::NodeLoad;
use rally_service::clock;
use rally_units::{Incarnation, Instant, NodeId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    effect::{Answer, Effect},
    host::Peer,
    lateness::Lateness,
    metrics::Metrics,
    pacing::{Bursts, Pace, Pacing},
    shard::Shard,
};

/// How often the registry, silent edges and the like are looked at.
pub(crate) const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(250);
/// How often the picture of the leases, which is as old as 100 ms, is looked at.
const SURVEY_EVERY: Duration = Duration::from_millis(25);
/// How often it is told what may be watched.
const LIVE_EVERY: Duration = Duration::from_secs(1);
/// Bundles taken at one step at most, so that a flood of them cannot hold up the ticks.
const BUNDLES_PER_STEP_MAX: usize = 256;
/// Answers taken at one step at most, for the same reason.
const ANSWERS_PER_STEP_MAX: usize = 256;

/// What the thread is connected to.
pub(crate) struct TickLoop {
    pub(crate) shard: Shard,
    pub(crate) fabric: Fabric,
    pub(crate) mailbox: mpsc::Receiver<Bytes>,
    pub(crate) answers: mpsc::Receiver<Answer>,
    pub(crate) effects: mpsc::Sender<Effect>,
    /// Whether a match is still being created, played or recorded.
    pub(crate) busy: watch::Sender<bool>,
    /// Matches that may be watched, once a second.
    pub(crate) live: watch::Sender<Vec<LiveMatch>>,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Metrics,
}

impl TickLoop {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let lease = self.fabric.lease();
        let mut link = self.fabric.link();
        let mut link_is_up = matches!(*link.borrow_and_update(), LinkState::Up { .. });
        let mut pacing = Pacing::new(clock::now());
        let mut bursts = Bursts::new();
        let mut backlog = VecDeque::new();
        let mut lateness = Lateness::new();
        let mut next_housekeeping = clock::now();
        let mut next_survey = clock::now();
        let mut next_live = clock::now();
        let mut peers = Vec::new();

        while !self.stop.is_cancelled() {
            let now = clock::now();
            let (pace, shed_ticks) = pacing.poll(now);
            let (phase, late) = match pace {
                Pace::Wait(due) => {
                    std::thread::sleep(due - now);
                    continue;
                }
                Pace::Step { phase, lateness } => (phase, lateness),
            };
            lateness.record(late);
            self.metrics.tick_lateness_us.record(late.as_secs_f64() * 1e6);
            if shed_ticks > 0 {
                self.metrics.ticks_shed.increment(shed_ticks);
                tracing::warn!(shed_ticks, "too late to catch up");
            }

            // Whether it has changed is an atomic; only a change takes the channel's lock.
            if link.has_changed().unwrap_or(false) {
                link_is_up = matches!(*link.borrow_and_update(), LinkState::Up { .. });
            }
            let holds = lease.holds(now);
            self.shard.look(now, (holds, lease.lapses()), link_is_up);
            self.take(now);
            for phase in bursts.at(phase) {
                self.shard.tick_phase(now, phase);
            }

            if now >= next_survey {
                next_survey = now + SURVEY_EVERY;
                let nodes = self.fabric.nodes();
                let workers = nodes.iter().filter(|node| node.role == Role::Worker);
                peers.clear();
                peers.extend(workers.map(|node| Peer {
                    node: node.id,
                    incarnation: node.incarnation,
                    matches: node.load.items,
                    draining: node.load.draining,
                }));
                self.shard.survey(now, &peers, self.fabric.may_judge(now));
            }
            if now >= next_housekeeping {
                next_housekeeping = now + HOUSEKEEPING_EVERY;
                let nodes = self.fabric.nodes();
                let living: Vec<(NodeId, Incarnation)> = nodes.iter().map(|node| (node.id, node.incarnation)).collect();
                self.shard.housekeep(now, &living);
                bursts.adapt(self.shard.host().load(), self.shard.host().edges(), nodes.workers().len());
                self.report(&mut lateness, now);
            }

            if now >= next_live {
                next_live = now + LIVE_EVERY;
                self.live.send_replace(self.shard.host().live_matches());
            }

            let fabric = &self.fabric;
            self.shard.flush(now, |to, bundle| {
                // A full queue drops it, and counts that; what is numbered is repeated.
                fabric.send(to, bundle);
            });
            self.hand_over(&mut backlog);
            self.metrics.step_busy_us.record((clock::now() - now).as_secs_f64() * 1e6);
        }
    }

    fn take(&mut self, now: Instant) {
        for _ in 0..BUNDLES_PER_STEP_MAX {
            let Ok(bundle) = self.mailbox.try_recv() else { break };
            if let Err(error) = self.shard.receive(now, &bundle) {
                tracing::debug!(%error, "refused a bundle");
            }
        }
        for _ in 0..ANSWERS_PER_STEP_MAX {
            let Ok(answer) = self.answers.try_recv() else { break };
            self.shard.answer(now, answer);
        }
    }

    /// Passes the effects on. Those that find the channel full wait here, in order: none may be lost. The persister
    /// never waits before it takes one, so that this lasts for moments.
    fn hand_over(&mut self, backlog: &mut VecDeque<Effect>) {
        backlog.extend(self.shard.effects());
        while let Some(effect) = backlog.pop_front() {
            match self.effects.try_send(effect) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(effect)) => {
                    backlog.push_front(effect);
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => break,
            }
        }
        self.metrics.effects_waiting.set(backlog.len() as f64);
    }

    fn report(&mut self, lateness: &mut Lateness, now: Instant) {
        self.shard.take_stats().record();
        let host = self.shard.host();
        let matches = host.load();
        let tick_lateness_us = lateness.p99_us(now);
        let is_busy = host.is_busy(now);
        let items = u32::try_from(matches).unwrap_or(u32::MAX);
        self.fabric.set_load(NodeLoad { items, tick_lateness_us, draining: host.is_draining() });
        self.busy.send_if_modified(|busy| std::mem::replace(busy, is_busy) != is_busy);
        self.metrics.matches.set(matches as f64);
        self.metrics.set_players(&host.players());
        self.metrics.afterlives.set(host.afterlives() as f64);
        self.metrics.edges.set(host.edges() as f64);
        self.shard.balance(now, tick_lateness_us);
    }
}
