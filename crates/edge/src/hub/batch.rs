//! One bundle taken apart: numbered entries in their order, snapshots as finished frames.
//!
//! Entries borrow from the bundle and from `Pairs`, whom their handling needs again; so they are set aside first.
//! Snapshots come last: what a bundle tells of a match (somebody joined) is true of its snapshot too.

use std::ops::Range;

use bytes::Bytes;
use rally_fabric::Received;
use rally_protocol::{
    client::codec::Encoding,
    cluster::{
        Entry, EntryKind,
        v1::{Control, SnapshotHead},
    },
};
use rally_units::{Epoch, MatchId, NodeId};

use crate::{frame, metrics};

/// A bundle's entries.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) numbered: Vec<Numbered>,
    pub(super) snapshots: Vec<HeldSnapshot>,
    /// The frames of all snapshots.
    pub(super) frames: Vec<u8>,
}

/// Something that comes exactly once and in order.
pub(super) enum Numbered {
    Control(Origin, Control),
    Message(Origin, Bytes),
    Restarted(NodeId),
}

/// Whose word an entry is, and about what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) from: NodeId,
    pub(super) match_id: MatchId,
    pub(super) epoch: Epoch,
}

/// A snapshot set aside.
pub(super) struct HeldSnapshot {
    pub(super) origin: Origin,
    pub(super) head: SnapshotHead,
    /// Its frame in [`Batch::frames`].
    pub(super) frame: Range<usize>,
    /// Where the frame's payload begins, from the frame's start.
    pub(super) payload_at: usize,
}

impl Batch {
    /// Sets aside what came.
    pub(super) fn take(&mut self, received: Received<'_>) {
        match received {
            Received::Entry { from, entry, .. } => self.entry(from, &entry),
            Received::PeerRestarted { node, .. } => self.numbered.push(Numbered::Restarted(node)),
        }
    }

    fn entry(&mut self, from: NodeId, entry: &Entry<'_>) {
        let Entry { kind, match_id, epoch, payload, .. } = *entry;
        let origin = Origin { from, match_id, epoch };
        match kind {
            EntryKind::Snapshot => {
                let Some((head, message)) = SnapshotHead::split(payload) else {
                    return metrics::entry_refused("malformed");
                };
                let start = self.frames.len();
                frame::append(Encoding::Msgpack, message, &mut self.frames);
                let frame = start..self.frames.len();
                let payload_at = frame.len() - message.len();
                self.snapshots.push(HeldSnapshot { origin, head, frame, payload_at });
            }
            EntryKind::Control => match Control::from_bytes(payload) {
                Ok(control) => self.numbered.push(Numbered::Control(origin, control)),
                Err(error) => {
                    // Of a later version, perhaps: the sender is one of ours, so it is worth a line.
                    tracing::warn!(%error, %from, %match_id, "a control cannot be read");
                    metrics::entry_refused("malformed");
                }
            },
            EntryKind::Message => {
                self.numbered.push(Numbered::Message(origin, Bytes::copy_from_slice(payload)));
            }
            EntryKind::Inputs | EntryKind::State => metrics::entry_refused("unexpected"),
        }
    }
}
