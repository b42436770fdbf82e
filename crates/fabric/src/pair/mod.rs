//! What two nodes owe each other, without IO.
//!
//! Each node owns one [`Pairs`]. Entries pushed for a peer are collected until [`Pairs::flush`], which seals one bundle
//! for each peer that has any (more only if they do not fit). Snapshots and inputs are lossy. Controls and messages
//! are *numbered*: kept until acknowledged, repeated after 100 ms, and delivered exactly once and in order, as long
//! as neither node restarts.
//!
//! A bundle counts only if it names the receiver's present life. A node that does not know it yet gets an empty bundle in
//! answer, from which it learns it ([`Pairs::meet`] spares that round), and sends its numbered entries
//! again. So nothing that was sealed for an earlier life, or for nobody in particular, can be replayed into this one.

use bytes::Bytes;
use rally_protocol::cluster::{
    BundleError, BundleKeys, Entry,
    v1::{Control, InputRecord},
};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

/// A numbered entry that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer has not acknowledged for too long: 4,096 entries or 4 MiB wait.
    #[error("too many entries wait for this peer's acknowledgement")]
    WindowFull,
    /// Larger than an entry may be.
    #[error("too large for one entry")]
    TooLarge,
    /// There are too many peers.
    #[error("too many peers")]
    TooManyPeers,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// An entry. Numbered ones come exactly once and in order.
    Entry {
        /// From whom.
        from: NodeId,
        /// In which life.
        from_incarnation: Incarnation,
        /// The entry.
        entry: Entry<'a>,
    },
    /// A peer that was known in one life speaks in another. What it had not acknowledged is dropped, and what it knew
    /// is lost. Comes before any entry of the new life.
    PeerRestarted {
        /// Who.
        node: NodeId,
        /// Its new life.
        incarnation: Incarnation,
    },
}

/// Why a bundle was refused. All are counted in [`PairStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// Not a bundle, or not sealed by this cluster.
    #[error("not a bundle: {0}")]
    Bundle(#[from] BundleError),
    /// Sealed for another node.
    #[error("for another node")]
    OtherNode,
    /// Its sender does not know this node's present life. It is told.
    #[error("for no or another life of this node")]
    OtherLife,
    /// From a life of the sender that is over.
    #[error("from an ended life of its sender")]
    EndedLife,
    /// Received before, or overtaken by a later one.
    #[error("repeated or overtaken")]
    Repeated,
    /// There are too many peers.
    #[error("too many peers")]
    TooManyPeers,
}

impl ReceiveError {
    /// A fixed label for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bundle(error) => error.label(),
            Self::OtherNode => "other_node",
            Self::OtherLife => "other_life",
            Self::EndedLife => "ended_life",
            Self::Repeated => "repeated",
            Self::TooManyPeers => "too_many_peers",
        }
    }
}

/// Counts since the start, or since [`Pairs::take_stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairStats {
    /// Bundles sealed.
    pub bundles_sent: u64,
}

/// All peers of a node. See the module's documentation.
#[derive(Debug)]
pub struct Pairs {
    _me: NodeId,
}

impl Pairs {
    /// A node without peers.
    pub fn new(me: NodeId, incarnation: Incarnation, keys: BundleKeys) -> Self {
        let _ = (incarnation, keys);
        Self { _me: me }
    }

    /// Adds a snapshot, whose payload `write` appends. Lossy: dropped (and counted) when too much waits for this flush.
    /// `write` is called a second time if the first bundle has no room left.
    pub fn snapshot(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, write: impl FnMut(&mut Vec<u8>)) {
        let _ = (to, match_id, epoch, write);
        todo!()
    }

    /// Adds inputs. Lossy: their sender repeats them by its own rule.
    pub fn inputs(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, records: &[InputRecord]) {
        let _ = (to, match_id, epoch, records);
        todo!()
    }

    /// Adds a control: numbered.
    pub fn control(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, control: &Control) -> Result<(), SendError> {
        let _ = (to, match_id, epoch, control);
        todo!()
    }

    /// Adds a finished message for all people that the peer has in the match: numbered. The bytes are shared.
    pub fn message(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, payload: Bytes) -> Result<(), SendError> {
        let _ = (to, match_id, epoch, payload);
        todo!()
    }

    /// Whether [`flush`](Self::flush) has entries to send that it has not sent yet (repeats and keep-alives apart: for
    /// these see [`next_deadline`](Self::next_deadline)).
    pub fn has_entries(&self) -> bool {
        todo!()
    }

    /// Seals what is due: new entries, repeats, acknowledgements (20 ms after a numbered entry came), keep-alives (250 ms
    /// after the last bundle, to active peers).
    pub fn flush(&mut self, now: Instant, send: impl FnMut(NodeId, Bytes)) {
        let _ = (now, send);
        todo!()
    }

    /// Judges bytes from the mailbox and hands out what is in them. An error means that nothing of it counted.
    pub fn receive(&mut self, now: Instant, bytes: &[u8], event: impl FnMut(Received<'_>)) -> Result<(), ReceiveError> {
        let _ = (now, bytes, event);
        todo!()
    }

    /// When [`flush`](Self::flush) has something to do that no new entry brings about.
    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether to send keep-alives to this peer.
    pub fn set_active(&mut self, node: NodeId, active: bool) {
        let _ = (node, active);
        todo!()
    }

    /// A hint from the registry about a peer's present life. What the peer itself has said outweighs it.
    pub fn meet(&mut self, node: NodeId, incarnation: Incarnation) {
        let _ = (node, incarnation);
        todo!()
    }

    /// Drops what waits for a peer whose lease is gone, and its keep-alives. Should the same life speak again, the pair
    /// goes on: numbers stay without holes.
    pub fn forget(&mut self, node: NodeId) {
        let _ = node;
        todo!()
    }

    /// When the last valid bundle of this peer came.
    pub fn last_heard(&self, node: NodeId) -> Option<Instant> {
        let _ = node;
        todo!()
    }

    /// The peer's present life, as far as it is known.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        let _ = node;
        todo!()
    }

    /// The counts since the last call, for metrics.
    pub fn take_stats(&mut self) -> PairStats {
        todo!()
    }
}
