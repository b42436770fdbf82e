//! What an edge counts. The handles of those that count at 60 Hz are looked up once.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use rally_protocol::client::v1::Mode;
use rally_units::{Instant, Tick};

const CONNECTIONS: &str = "rally_edge_connections";
const MATCHES: &str = "rally_edge_matches";
const FRAMES: &str = "rally_edge_frames_sent_total";
const CONFLATED: &str = "rally_edge_snapshots_conflated_total";
const SLOW_CLOSES: &str = "rally_edge_slow_closes_total";
const REFUSED: &str = "rally_edge_refused_total";
const CLOSED: &str = "rally_edge_closed_total";
const ENTRIES_REFUSED: &str = "rally_edge_entries_refused_total";
const BUNDLES_REFUSED: &str = "rally_edge_bundles_refused_total";
const INPUTS: &str = "rally_edge_inputs_total";
const INPUTS_DROPPED: &str = "rally_edge_inputs_dropped_total";
const HUB_FULL: &str = "rally_edge_hub_full_total";
const ATTACHES: &str = "rally_edge_attaches_total";
const LOOK_UPS_REFUSED: &str = "rally_edge_look_ups_refused_total";
const REQUESTS_TIMED_OUT: &str = "rally_edge_requests_timed_out_total";
const INPUT_SECONDS: &str = "rally_input_edge_seconds";
const FANOUT_SECONDS: &str = "rally_edge_fanout_seconds";
const APPLIED_SECONDS: &str = "rally_input_applied_seconds";
const SNAPSHOTS: &str = "rally_edge_snapshots_total";
const SNAPSHOTS_MISSED: &str = "rally_edge_snapshots_missed_total";
const QUEUE_WAIT_SECONDS: &str = "rally_queue_wait_seconds";

/// Handles of all that is counted often. Made once telemetry has been installed.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) matches: Gauge,
    pub(crate) snapshots_sent: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) control_sent: Counter,
    pub(crate) conflated: Counter,
    pub(crate) slow_closes: Counter,
    pub(crate) inputs: Counter,
    pub(crate) inputs_dropped: Counter,
    pub(crate) hub_full: Counter,
    pub(crate) attaches: Counter,
    pub(crate) look_ups_refused: Counter,
    pub(crate) requests_timed_out: Counter,
    pub(crate) input_seconds: Histogram,
    pub(crate) fanout_seconds: Histogram,
    pub(crate) applied_seconds: Histogram,
    pub(crate) snapshots: Counter,
    pub(crate) snapshots_missed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_gauge!(CONNECTIONS, "WebSocket connections open");
        describe_gauge!(MATCHES, "matches that somebody on this edge is in");
        describe_counter!(FRAMES, "WebSocket frames handed to sockets, by kind");
        describe_counter!(CONFLATED, "snapshots that took the place of an older one for a slow reader");
        describe_counter!(SLOW_CLOSES, "connections closed because too much waited for them");
        describe_counter!(REFUSED, "what clients sent and was refused, by reason");
        describe_counter!(CLOSED, "connections closed by the edge, by reason");
        describe_counter!(ENTRIES_REFUSED, "entries about matches that were not taken, by reason");
        describe_counter!(BUNDLES_REFUSED, "bundles that were not taken, by reason");
        describe_counter!(INPUTS, "inputs taken from players");
        describe_counter!(INPUTS_DROPPED, "inputs dropped because too many were not applied");
        describe_counter!(HUB_FULL, "requests refused because too many waited for the hub");
        describe_counter!(ATTACHES, "attempts to attach to a match again");
        describe_counter!(REQUESTS_TIMED_OUT, "joins and creations that were not answered in time");
        describe_histogram!(INPUT_SECONDS, Unit::Seconds, "from an input's read to its bundle");
        describe_histogram!(
            FANOUT_SECONDS,
            Unit::Seconds,
            "from a bundle's arrival to the last write of it to a socket"
        );
        describe_histogram!(
            APPLIED_SECONDS,
            Unit::Seconds,
            "from an input's read to the first snapshot here that shows it as applied"
        );
        describe_counter!(SNAPSHOTS, "snapshots of matches taken from their owners");
        describe_counter!(SNAPSHOTS_MISSED, "ticks of matches of which no snapshot came, seen by the next one");
        describe_histogram!(QUEUE_WAIT_SECONDS, Unit::Seconds, "from getting in line to an opponent, by mode");
        Self {
            connections: gauge!(CONNECTIONS),
            matches: gauge!(MATCHES),
            snapshots_sent: counter!(FRAMES, "kind" => "snapshot"),
            messages_sent: counter!(FRAMES, "kind" => "message"),
            control_sent: counter!(FRAMES, "kind" => "control"),
            conflated: counter!(CONFLATED),
            slow_closes: counter!(SLOW_CLOSES),
            inputs: counter!(INPUTS),
            inputs_dropped: counter!(INPUTS_DROPPED),
            hub_full: counter!(HUB_FULL),
            attaches: counter!(ATTACHES),
            look_ups_refused: counter!(LOOK_UPS_REFUSED),
            requests_timed_out: counter!(REQUESTS_TIMED_OUT),
            input_seconds: histogram!(INPUT_SECONDS),
            fanout_seconds: histogram!(FANOUT_SECONDS),
            applied_seconds: histogram!(APPLIED_SECONDS),
            snapshots: counter!(SNAPSHOTS),
            snapshots_missed: counter!(SNAPSHOTS_MISSED),
        }
    }
}

impl Metrics {
    /// A snapshot was taken, of `tick` after `before`; inputs read at `answered` are in it.
    pub(crate) fn snapshot(
        &self,
        now: Instant,
        before: Option<Tick>,
        tick: Tick,
        answered: impl Iterator<Item = Instant>,
    ) {
        self.snapshots.increment(1);
        let missed = before.map_or(0, |before| tick.0.saturating_sub(before.0 + 1));
        if missed > 0 {
            self.snapshots_missed.increment(missed.into());
        }
        for at in answered {
            self.applied_seconds.record(now.since(at).as_secs_f64());
        }
    }
}

/// Somebody has waited this long for an opponent.
pub(crate) fn queue_waited(mode: Mode, waited: Duration) {
    histogram!(QUEUE_WAIT_SECONDS, "mode" => mode.as_str()).record(waited.as_secs_f64());
}

/// A client's message was refused.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// A connection is closed by the edge.
pub(crate) fn closed(reason: &'static str) {
    counter!(CLOSED, "reason" => reason).increment(1);
}

/// An entry about a match was not taken.
pub(crate) fn entry_refused(reason: &'static str) {
    counter!(ENTRIES_REFUSED, "reason" => reason).increment(1);
}

/// A bundle was not taken.
pub(crate) fn bundle_refused(reason: &'static str) {
    counter!(BUNDLES_REFUSED, "reason" => reason).increment(1);
}
