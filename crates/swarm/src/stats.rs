//! What is counted and timed, by one engine, within the window that is measured.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// A time that a histogram takes, in microseconds; longer ones count as this.
const TIME_US_MAX: u64 = 60_000_000;

/// An interval between two snapshots that is longer than this is a gap: a player sees it.
pub(crate) const GAP_NS: u64 = 100_000_000;

/// Between two snapshots when all is well.
pub(crate) const INTERVAL_NS: u64 = 16_666_667;

/// What must never happen to a match, and what may, as its players saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Continuity {
    /// `moved` events: the match went on at another worker.
    pub moved: u64,
    /// `paused` events, whoever caused them.
    pub paused: u64,
    /// `away` events: the opponent, or oneself, was found to be gone.
    pub away: u64,
    /// Scores that fell.
    pub scores_fell: u64,
    /// Snapshots of an older epoch than one seen before.
    pub epochs_fell: u64,
    /// Snapshots of an older tick of the same epoch.
    pub ticks_fell: u64,
    /// The most ticks that a new owner went back behind what was seen.
    pub rewound_ticks_max: u64,
    /// Numbers of match events that were left out.
    pub events_missed: u64,
    /// Match events that came twice.
    pub events_repeated: u64,
    /// Matches that were declared void.
    pub abandoned: u64,
    /// Matches that were there and could not be found again.
    pub vanished: u64,
    /// Players who were told to stay away (4401, 4409).
    pub seats_lost: u64,
}

impl Continuity {
    /// Everything in it that must never happen.
    pub fn broken(&self) -> u64 {
        self.scores_fell
            + self.epochs_fell
            + self.ticks_fell
            + self.events_missed
            + self.events_repeated
            + self.abandoned
            + self.vanished
            + self.seats_lost
    }

    fn add(&mut self, other: &Self) {
        self.moved += other.moved;
        self.paused += other.paused;
        self.away += other.away;
        self.scores_fell += other.scores_fell;
        self.epochs_fell += other.epochs_fell;
        self.ticks_fell += other.ticks_fell;
        self.rewound_ticks_max = self.rewound_ticks_max.max(other.rewound_ticks_max);
        self.events_missed += other.events_missed;
        self.events_repeated += other.events_repeated;
        self.abandoned += other.abandoned;
        self.vanished += other.vanished;
        self.seats_lost += other.seats_lost;
    }
}

/// Errors by their codes, which are ours and the protocol's: few.
pub type Errors = BTreeMap<String, ErrorCount>;

/// Errors of one code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// How many.
    pub count: u64,
    /// What the first of them said.
    pub first: String,
}

/// How many there were.
pub(crate) fn total(errors: &Errors) -> u64 {
    errors.values().map(|error| error.count).sum()
}

/// For people: `3 x rate_limited "slower"`.
pub(crate) fn listed(errors: &Errors) -> String {
    if errors.is_empty() {
        return "none".into();
    }
    let each = errors.iter().map(|(code, error)| match &*error.first {
        "" => format!("{} x {code}", error.count),
        first => format!("{} x {code} \"{first}\"", error.count),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[derive(Debug)]
pub(crate) struct Stats {
    /// Whether the window is open. Before it, errors and reconnects count only towards the progress line.
    pub(crate) measuring: bool,
    pub(crate) window_began_ns: u64,
    /// First arrivals of a match's ticks.
    pub(crate) snapshots: u64,
    /// Those of a tick that had come already.
    pub(crate) repeated: u64,
    /// Ticks that never came, between two that did.
    pub(crate) missed_ticks: u64,
    /// Time that players were in a match that sends snapshots.
    pub(crate) joined_ns: u64,
    pub(crate) input_us: Histogram<u64>,
    pub(crate) interval_us: Histogram<u64>,
    /// The longest gap of each player: time without a fresh snapshot beyond the normal interval.
    pub(crate) player_gap_us: Histogram<u64>,
    /// The same of those whose match moved or whose connection was lost.
    pub(crate) concerned_gap_us: Histogram<u64>,
    /// And of all others.
    pub(crate) unconcerned_gap_us: Histogram<u64>,
    pub(crate) gaps: u64,
    pub(crate) continuity: Continuity,
    pub(crate) inputs_sent: u64,
    pub(crate) inputs_unanswered: u64,
    pub(crate) events: u64,
    pub(crate) matches_finished: u64,
    pub(crate) reconnects: u64,
    pub(crate) reads: u64,
    pub(crate) received_bytes: u64,
    pub(crate) errors: Errors,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            measuring: false,
            window_began_ns: 0,
            snapshots: 0,
            repeated: 0,
            missed_ticks: 0,
            joined_ns: 0,
            input_us: histogram(),
            interval_us: histogram(),
            player_gap_us: histogram(),
            concerned_gap_us: histogram(),
            unconcerned_gap_us: histogram(),
            gaps: 0,
            continuity: Continuity::default(),
            inputs_sent: 0,
            inputs_unanswered: 0,
            events: 0,
            matches_finished: 0,
            reconnects: 0,
            reads: 0,
            received_bytes: 0,
            errors: Errors::new(),
        }
    }
}

/// Two digits of precision are finer than what two runs agree on.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_US_MAX, 2).expect("bounds that fit")
}

/// Records a time given in nanoseconds.
pub(crate) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    histogram.saturating_record((ns / 1_000).max(1));
}

impl Stats {
    /// The window begins.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        // Errors and reconnects of the ramp are part of the story: they stay.
        let (errors, reconnects) = (std::mem::take(&mut self.errors), self.reconnects);
        *self = Self { measuring: true, window_began_ns: now_ns, errors, reconnects, ..Self::default() };
    }

    pub(crate) fn error(&mut self, code: impl Into<String>) {
        self.error_that_said(code, "");
    }

    pub(crate) fn error_that_said(&mut self, code: impl Into<String>, said: &str) {
        let error = self.errors.entry(code.into()).or_default();
        if error.count == 0 {
            said.clone_into(&mut error.first);
        }
        error.count += 1;
    }

    /// A player was in a match from `since_ns` until now.
    pub(crate) fn joined(&mut self, since_ns: u64, now_ns: u64) {
        if self.measuring {
            self.joined_ns += now_ns.saturating_sub(since_ns.max(self.window_began_ns));
        }
    }

    /// A snapshot came this long after the one before, which skipped `missed` ticks.
    pub(crate) fn interval(&mut self, interval_ns: u64, missed: u64) {
        record(&mut self.interval_us, interval_ns);
        self.missed_ticks += missed;
        self.silence(interval_ns);
    }

    /// Nothing came for this long.
    pub(crate) fn silence(&mut self, silence_ns: u64) {
        if silence_ns > GAP_NS {
            self.gaps += 1;
        }
    }

    /// Adds what another engine saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.snapshots += other.snapshots;
        self.repeated += other.repeated;
        self.missed_ticks += other.missed_ticks;
        self.joined_ns += other.joined_ns;
        // Same bounds everywhere: nothing can be out of them.
        let _ = self.input_us.add(&other.input_us);
        let _ = self.interval_us.add(&other.interval_us);
        let _ = self.player_gap_us.add(&other.player_gap_us);
        let _ = self.concerned_gap_us.add(&other.concerned_gap_us);
        let _ = self.unconcerned_gap_us.add(&other.unconcerned_gap_us);
        self.gaps += other.gaps;
        self.continuity.add(&other.continuity);
        self.inputs_sent += other.inputs_sent;
        self.inputs_unanswered += other.inputs_unanswered;
        self.events += other.events;
        self.matches_finished += other.matches_finished;
        self.reconnects += other.reconnects;
        self.reads += other.reads;
        self.received_bytes += other.received_bytes;
        for (code, theirs) in &other.errors {
            let ours = self.errors.entry(code.clone()).or_insert_with(|| ErrorCount { count: 0, ..theirs.clone() });
            ours.count += theirs.count;
        }
    }
}
