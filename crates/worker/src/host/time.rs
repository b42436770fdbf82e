//! What the clock brings about: ticks, silence, and the end of what had its time.

use std::{collections::BTreeMap, time::Duration};

use rally_fabric::Pairs;
use rally_protocol::cluster::v1::Control;
use rally_units::{Epoch, Instant, NodeId};

use super::{Host, hosted::Standing, phase_of};
use crate::effect::Effect;

/// An edge that has not been heard for this long is no longer attached: its players are away.
const ATTACHMENT_SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long a finished match can still be joined, so that whoever was away sees the result. The oldest make room when
/// there are more than [`HostConfig::matches_max`](super::HostConfig::matches_max).
const AFTERLIFE: Duration = Duration::from_secs(60);
/// How often owners are told to the cluster's cache, which forgets after 10 s.
const REASSERT_EVERY: Duration = Duration::from_secs(3);
/// How long another worker may take to answer a director's question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it is not known whether a match was created. By then Postgres has given up on what was under way (the
/// store's timeout is 5 s), and whoever asked has not asked again.
const DOUBT: Duration = Duration::from_secs(10);

impl Host {
    /// The matches have stood still, and go on from here: with a countdown where they were in play.
    pub(crate) fn thaw(&mut self, now: Instant) {
        self.hears_since = now;
        self.phases.iter_mut().flat_map(BTreeMap::values_mut).for_each(|hosted| hosted.room.interrupted());
    }

    /// Ticks the matches of a phase. Each snapshot is encoded once, whatever the number of edges that get it.
    pub(crate) fn tick_phase(&mut self, now: Instant, phase: usize, pairs: &mut Pairs) {
        let Self { phases, outputs, words, effects, metrics, snapshot, balance, showings, .. } = self;
        let shed = balance.shed;
        let mut copies = Vec::new();
        for (match_id, hosted) in &mut phases[phase] {
            if hosted.standing != Standing::Live {
                continue;
            }
            let mut finished = None;
            for _ in 0..hosted.ticks_due(now) {
                hosted.room.tick(outputs);
                metrics.count(outputs.counters);
                hosted.tell_events(outputs.events.drain(..), words, effects);
                finished = outputs.finished.take();
                if finished.is_some() {
                    break;
                }
            }
            hosted.wait_for_goal(now, metrics);
            copies.extend(hosted.copy_if_due());
            if let Some(finished) = finished {
                // No time passes in a match that is over: this tick only hands out what is left to tell.
                hosted.room.result_pending();
                hosted.room.tick(outputs);
                hosted.tell_events(outputs.events.drain(..), words, effects);
                hosted.finishing(&finished);
                effects.push(Effect::Finish { match_id: *match_id, epoch: hosted.epoch, result: finished });
                continue;
            }
            if hosted.attached.is_empty() {
                continue;
            }
            snapshot.clear();
            snapshot.extend_from_slice(&hosted.room.snapshot_head().to_bytes());
            hosted.room.snapshot_into(snapshot);
            for attached in &hosted.attached {
                if !shed.shows(hosted.room.tick_count(), || attached.has_player(&hosted.room)) {
                    metrics.snapshots_shed.increment(1);
                    continue;
                }
                pairs.snapshot(attached.edge, *match_id, hosted.epoch, |out| out.extend_from_slice(snapshot));
            }
        }
        showings.tick(phase, shed, (outputs, snapshot), (words, pairs), metrics);
        if !copies.is_empty() {
            effects.push(Effect::Copy(copies));
        }
        self.advance_moves(now);
    }

    /// When this node was last heard, as far as that can be told: while the matches stood still, nobody could be.
    pub(crate) fn last_heard(&self, pairs: &Pairs, node: NodeId) -> Instant {
        pairs.last_heard(node).unwrap_or_default().max(self.hears_since)
    }

    /// Detaches edges that have fallen silent.
    pub(crate) fn detach_silent(&mut self, now: Instant, pairs: &Pairs) {
        self.edges.clear();
        let attached = self.phases.iter().flat_map(BTreeMap::values).flat_map(|hosted| &hosted.attached);
        for edge in attached.map(|attached| attached.edge).chain(self.showings.edges()) {
            // Edges are few, and matches many.
            if !self.edges.contains(&edge) {
                self.edges.push(edge);
            }
        }
        let mut edges = std::mem::take(&mut self.edges);
        edges.retain(|edge| {
            let heard = self.last_heard(pairs, *edge);
            let is_silent = |since: Instant| now.since(heard.max(since)) > ATTACHMENT_SILENCE_MAX;
            if is_silent(Instant::default()) {
                let watchers = self.showings.detach(*edge, None);
                let detached = watchers + self.detach(*edge, |attached| is_silent(attached.since));
                if detached > 0 {
                    tracing::info!(%edge, matches = detached, "edge is silent; its players are away");
                    self.metrics.silent_edges.increment(1);
                }
            }
            !is_silent(Instant::default())
        });
        self.edges = edges;
    }

    /// What is due now and then.
    pub(crate) fn housekeep(&mut self, now: Instant) {
        while let Some((since, match_id)) = self.afterlife.front().copied()
            && (now.since(since) > AFTERLIFE || self.afterlife.len() > self.config.matches_max)
        {
            self.afterlife.pop_front();
            let Some(hosted) = self.phases[phase_of(match_id)].remove(&match_id) else { continue };
            for attached in &hosted.attached {
                self.tell(attached.edge, match_id, hosted.epoch, Control::Gone);
            }
        }

        self.housekeep_showings(now);

        // Who asked has stopped waiting by the same time.
        self.questions.retain(|_, question| now.since(question.asked) < QUESTION_TIMEOUT);

        for (match_id, doubt) in &mut self.doubts {
            // Hosted by nobody, it would keep its players' seats for ever.
            if !doubt.is_ending && (self.gives_up || now.since(doubt.since) >= DOUBT) {
                doubt.is_ending = true;
                self.effects.push(Effect::Void { match_id: *match_id, epoch: Epoch::FIRST });
            }
        }

        if now.since(self.last_reassert) >= REASSERT_EVERY {
            self.last_reassert = now;
            let live = self.phases.iter().flatten().filter(|(_, hosted)| hosted.standing != Standing::Over);
            let owned: Vec<_> =
                live.map(|(match_id, hosted)| (*match_id, hosted.epoch)).chain(self.showings.owned()).collect();
            if !owned.is_empty() {
                self.effects.push(Effect::Own(owned));
            }
            let live = self.phases.iter_mut().flat_map(BTreeMap::values_mut);
            for hosted in live.filter(|hosted| hosted.standing == Standing::Live && !hosted.is_noted) {
                hosted.note(&mut self.effects);
            }
        }
    }
}
