//! What the pairs of a node did, counted without touching a shared counter on the way of a tick.

use rally_protocol::cluster::BundleError;

use super::ReceiveError;

/// Counts since the last [`Pairs::take_stats`](super::Pairs::take_stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairStats {
    /// Bundles sealed.
    pub bundles_sent: u64,
    /// Their size together.
    pub bytes_sent: u64,
    /// Entries in them.
    pub entries_sent: u64,
    /// Bundles accepted.
    pub bundles_received: u64,
    /// Entries handed out.
    pub entries_received: u64,
    /// Numbered entries sent again.
    pub repeats_sent: u64,
    /// Numbered entries that came a second time, and were not handed out again.
    pub numbered_repeated: u64,
    /// Numbered entries that came before their turn, and will be repeated by their sender.
    pub numbered_gaps: u64,
    /// Numbered entries not taken: see [`SendError`](super::SendError).
    pub numbered_refused: u64,
    /// Numbered entries dropped because their receiver restarted or was forgotten.
    pub numbered_dropped: u64,
    /// Lossy entries dropped: no room, or the receiver's life is not known.
    pub lossy_dropped: u64,
    /// Acknowledgements of what was never sent.
    pub acks_ignored: u64,
    /// Bundles refused.
    pub refused: Refused,
}

impl PairStats {
    /// Adds these counts to the metrics.
    pub fn record(&self) {
        let counters = [
            ("rally_fabric_bundles_sealed_total", self.bundles_sent),
            ("rally_fabric_bundle_bytes_sealed_total", self.bytes_sent),
            ("rally_fabric_entries_sent_total", self.entries_sent),
            ("rally_fabric_bundles_accepted_total", self.bundles_received),
            ("rally_fabric_entries_received_total", self.entries_received),
            ("rally_fabric_numbered_repeats_sent_total", self.repeats_sent),
            ("rally_fabric_numbered_repeats_received_total", self.numbered_repeated),
            ("rally_fabric_numbered_gaps_total", self.numbered_gaps),
            ("rally_fabric_numbered_refused_total", self.numbered_refused),
            ("rally_fabric_numbered_dropped_total", self.numbered_dropped),
            ("rally_fabric_lossy_dropped_total", self.lossy_dropped),
            ("rally_fabric_acks_ignored_total", self.acks_ignored),
        ];
        for (name, count) in counters {
            if count > 0 {
                metrics::counter!(name).increment(count);
            }
        }
        // An alert looks at these, and from nothing to one is no rise to it.
        for error in [BundleError::Truncated, BundleError::TooLarge, BundleError::Mac, BundleError::Malformed] {
            metrics::counter!("rally_fabric_bundles_refused_total", "reason" => error.label()).increment(0);
        }
        for (reason, count) in self.refused.iter() {
            metrics::counter!("rally_fabric_bundles_refused_total", "reason" => reason).increment(count);
        }
    }
}

/// Bundles refused, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused(Vec<(&'static str, u64)>);

impl Refused {
    pub(super) fn count(&mut self, error: ReceiveError) {
        match self.0.iter_mut().find(|(reason, _)| *reason == error.label()) {
            Some((_, count)) => *count += 1,
            None => self.0.push((error.label(), 1)),
        }
    }

    /// The reasons that occurred, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many were refused for this reason.
    pub fn of(&self, error: ReceiveError) -> u64 {
        self.iter().find(|(reason, _)| *reason == error.label()).map_or(0, |(_, count)| count)
    }
}
