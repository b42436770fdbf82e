//! What the tick thread counts. Handles are looked up once: a tick must not search the registry for each match.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rally_protocol::client::v1::Mode;
use rally_room::{Counters, InputRefusal};

use crate::host::Why;

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) answers_late: Counter,
    pub(crate) checkpoints_unusable: Counter,
    pub(crate) copies_failed: Counter,
    pub(crate) fenced: Counter,
    pub(crate) goals_unsafe: Counter,
    pub(crate) inputs_applied: Counter,
    pub(crate) inputs_dropped: Counter,
    inputs_refused: [Counter; InputRefusal::ALL.len()],
    pub(crate) inputs_other_epoch: Counter,
    pub(crate) inputs_forwarded: Counter,
    pub(crate) moved_in: Counter,
    moved_out: [Counter; 3],
    pub(crate) moves_begun: Counter,
    pub(crate) moves_declined: Counter,
    pub(crate) moves_taken_back: Counter,
    pub(crate) recoveries_begun: Counter,
    pub(crate) recovered_from_checkpoint: Counter,
    pub(crate) recovered_from_score: Counter,
    pub(crate) replays_cut: Counter,
    pub(crate) replays_refused: Counter,
    pub(crate) events_unrecorded: Counter,
    pub(crate) matches_created: Counter,
    pub(crate) matches_refused: Counter,
    pub(crate) viewers_refused: Counter,
    pub(crate) silent_edges: Counter,
    pub(crate) snapshots_shed: Counter,
    pub(crate) unsaid: Counter,
    pub(crate) ticks_shed: Counter,
    pub(crate) matches: Gauge,
    pub(crate) replays: Gauge,
    /// In the order of [`Mode::ALL`].
    players: Vec<Gauge>,
    pub(crate) afterlives: Gauge,
    pub(crate) edges: Gauge,
    pub(crate) frozen: Gauge,
    pub(crate) shed: Gauge,
    pub(crate) effects_waiting: Gauge,
    pub(crate) step_busy_us: Histogram,
    pub(crate) tick_lateness_us: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // Alerts look at a rise, and from nothing to one is none.
        counter!("rally_worker_results_lost_total").increment(0);
        counter!("rally_sweeper_voided_total").increment(0);
        let input_refused = |reason: &'static str| counter!("rally_worker_inputs_refused_total", "reason" => reason);
        Self {
            answers_late: counter!("rally_worker_answers_late_total"),
            checkpoints_unusable: counter!("rally_worker_checkpoints_unusable_total"),
            copies_failed: counter!("rally_worker_checkpoints_failed_total"),
            goals_unsafe: counter!("rally_worker_goals_unsafe_total"),
            inputs_forwarded: counter!("rally_worker_inputs_forwarded_total"),
            moved_in: counter!("rally_worker_moved_in_total"),
            moved_out: Why::ALL.map(|why| counter!("rally_worker_moved_out_total", "why" => why.label())),
            moves_begun: counter!("rally_worker_moves_begun_total"),
            moves_declined: counter!("rally_worker_moves_declined_total"),
            moves_taken_back: counter!("rally_worker_moves_taken_back_total"),
            recoveries_begun: counter!("rally_worker_recoveries_begun_total"),
            recovered_from_checkpoint: counter!("rally_worker_recovered_total", "from" => "checkpoint"),
            recovered_from_score: counter!("rally_worker_recovered_total", "from" => "score"),
            fenced: counter!("rally_worker_fenced_total"),
            inputs_applied: counter!("rally_worker_inputs_applied_total"),
            inputs_dropped: counter!("rally_worker_inputs_dropped_total"),
            inputs_refused: InputRefusal::ALL.map(|refusal| input_refused(refusal.label())),
            inputs_other_epoch: input_refused("other_epoch"),
            replays_cut: counter!("rally_worker_replays_cut_total"),
            replays_refused: counter!("rally_worker_replays_refused_total"),
            events_unrecorded: counter!("rally_worker_events_unrecorded_total"),
            matches_created: counter!("rally_matches_created_total"),
            matches_refused: counter!("rally_worker_matches_refused_total"),
            viewers_refused: counter!("rally_worker_viewers_refused_total"),
            snapshots_shed: counter!("rally_worker_snapshots_shed_total"),
            silent_edges: counter!("rally_worker_silent_edges_total"),
            unsaid: counter!("rally_worker_unsaid_total"),
            ticks_shed: counter!("rally_ticks_shed_total"),
            matches: gauge!("rally_worker_matches"),
            players: Mode::ALL.iter().map(|mode| gauge!("rally_worker_players", "mode" => mode.as_str())).collect(),
            replays: gauge!("rally_worker_replays"),
            afterlives: gauge!("rally_worker_afterlives"),
            edges: gauge!("rally_worker_edges"),
            frozen: gauge!("rally_worker_frozen"),
            shed: gauge!("rally_worker_shed_level"),
            effects_waiting: gauge!("rally_worker_effects_waiting"),
            step_busy_us: histogram!("rally_step_busy_us"),
            tick_lateness_us: histogram!("rally_tick_lateness_us"),
        }
    }

    pub(crate) fn moved_out(&self, why: Why) {
        self.moved_out[why as usize].increment(1);
    }

    /// People in play, in the order of [`Mode::ALL`].
    pub(crate) fn set_players(&self, players: &[usize]) {
        for (gauge, players) in self.players.iter().zip(players) {
            gauge.set(*players as f64);
        }
    }

    pub(crate) fn input_refused(&self, refusal: InputRefusal) {
        if let Some(i) = InputRefusal::ALL.iter().position(|other| *other == refusal) {
            self.inputs_refused[i].increment(1);
        }
    }

    /// What a match counted in a tick: mostly nothing, and an increment by nothing is not free.
    pub(crate) fn count(&self, counters: Counters) {
        let Counters { inputs_applied, inputs_dropped, replays_cut, events_unrecorded } = counters;
        for (counter, count) in [
            (&self.inputs_applied, inputs_applied),
            (&self.inputs_dropped, inputs_dropped),
            (&self.replays_cut, replays_cut),
            (&self.events_unrecorded, events_unrecorded),
        ] {
            if count > 0 {
                counter.increment(count.into());
            }
        }
    }
}

/// An entry that nobody honest sends: rare, so that the search does not matter.
pub(crate) fn entry_refused(reason: &'static str) {
    counter!("rally_worker_entries_refused_total", "reason" => reason).increment(1);
}
