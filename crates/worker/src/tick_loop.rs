//! The thread that ticks: the only owner of the [`Shard`], with no lock and no wait but the one for its next deadline.
//!
//! It shares the worker's process with a runtime that talks to Redis and Postgres; what passes between the two are
//! bounded channels that are only ever tried.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rally_fabric::{Fabric, LinkState};
use rally_protocol::cluster::v1::NodeLoad;
use rally_service::clock;
use rally_units::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    effect::{Answer, Effect},
    lateness::Lateness,
    pacing::{Pace, Pacing, bursts, phases_at},
    shard::Shard,
};

/// How often the registry, silent edges and the like are looked at.
pub(crate) const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(250);
/// Bundles taken at one step at most, so that a flood of them cannot hold up the ticks.
const BUNDLES_PER_STEP_MAX: usize = 256;

/// What the thread is connected to.
pub(crate) struct TickLoop {
    pub(crate) shard: Shard,
    pub(crate) fabric: Fabric,
    pub(crate) mailbox: mpsc::Receiver<Bytes>,
    pub(crate) answers: mpsc::Receiver<Answer>,
    pub(crate) effects: mpsc::Sender<Effect>,
    /// Whether a match is still being created, played or recorded.
    pub(crate) busy: watch::Sender<bool>,
    pub(crate) stop: CancellationToken,
}

impl TickLoop {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let lease = self.fabric.lease();
        let link = self.fabric.link();
        let mut pacing = Pacing::new(clock::now());
        let mut backlog = VecDeque::new();
        let mut lateness = Lateness::new();
        let mut next_housekeeping = clock::now();
        let mut bursts_now = crate::pacing::PHASES;
        let mut draining = false;
        let mut frozen = false;

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
            if shed_ticks > 0 {
                metrics::counter!("rally_ticks_shed_total").increment(shed_ticks);
                tracing::warn!(shed_ticks, "too late to catch up");
            }

            // A bound on both, so that the ticks come first.
            for _ in 0..BUNDLES_PER_STEP_MAX {
                let Ok(bundle) = self.mailbox.try_recv() else { break };
                if let Err(error) = self.shard.receive(now, &bundle) {
                    tracing::debug!(%error, "refused a bundle");
                }
            }
            while let Ok(answer) = self.answers.try_recv() {
                draining |= matches!(answer, Answer::Drain);
                self.shard.answer(now, answer);
            }

            // Without a lease another may own what is here, and without Redis nobody sees it: matches stand still.
            let stands_still = !lease.holds(now) || matches!(*link.borrow(), LinkState::Silent { .. });
            if stands_still != frozen {
                frozen = stands_still;
                if !frozen {
                    self.shard.thaw();
                }
                tracing::warn!(frozen, "link to Redis changed: matches stand still while it is silent");
                metrics::gauge!("rally_worker_frozen").set(f64::from(u8::from(frozen)));
            }
            if !frozen {
                for phase in phases_at(phase, bursts_now) {
                    self.shard.tick_phase(phase);
                }
            }

            if now >= next_housekeeping {
                next_housekeeping = now + HOUSEKEEPING_EVERY;
                let nodes = self.fabric.nodes();
                self.shard.housekeep(now, &nodes);
                bursts_now = bursts(self.shard.host().edges(), nodes.workers().len());
                self.shard.take_stats().record();
                self.report(&mut lateness, now, draining);
            }

            let fabric = &self.fabric;
            self.shard.flush(now, |to, bundle| {
                // A full queue drops it, and counts that; what is numbered is repeated.
                fabric.send(to, bundle);
            });
            self.hand_over(&mut backlog);
            metrics::histogram!("rally_step_busy_us").record((clock::now() - now).as_secs_f64() * 1e6);
        }
    }

    /// Passes the effects on. Those that find the channel full wait here, in order: none may be lost. There are at most
    /// a few for each match, and matches are bounded.
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
        metrics::gauge!("rally_worker_effects_waiting").set(backlog.len() as f64);
    }

    fn report(&self, lateness: &mut Lateness, now: Instant, draining: bool) {
        let matches = self.shard.host().load();
        let tick_lateness_us = lateness.p99_us(now);
        self.fabric.set_load(NodeLoad { items: matches as u32, tick_lateness_us, draining });
        self.busy.send_if_modified(|busy| std::mem::replace(busy, matches > 0) != (matches > 0));
        metrics::gauge!("rally_worker_matches").set(matches as f64);
        metrics::gauge!("rally_worker_edges").set(self.shard.host().edges() as f64);
    }
}
