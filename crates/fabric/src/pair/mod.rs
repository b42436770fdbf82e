//! What two nodes owe each other, without IO.
//!
//! Each node owns one [`Pairs`]. Entries pushed for a peer are collected until [`Pairs::flush`], which seals one bundle
//! for each peer that has any (more only if they do not fit). Snapshots and inputs are lossy. Controls and messages
//! are *numbered*: kept until acknowledged, repeated after 100 ms, and delivered exactly once and in order, as long
//! as neither node restarts.
//!
//! A bundle counts only if it names the receiver's present life, and goes out only to a life that has spoken to ours. Nodes
//! that do not know each other exchange empty bundles first: when one has something for the other, or, without
//! waiting for that, when the registry names it ([`Pairs::meet`]). So nothing that was sealed for an earlier
//! life, or for nobody in particular, can be replayed into this one, and no life is ever numbered twice.

mod peer;
mod stats;
mod window;

use std::collections::BTreeMap;

use bytes::Bytes;
use rally_protocol::cluster::{
    BundleError, BundleKeys, BundleReader, Entry, EntryKind,
    v1::{Control, InputRecord},
};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

use peer::{Heard, Peer, Sealer};
pub use stats::{PairStats, Refused};
use window::Numbered;

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
    /// From another life of the sender than is known, which has yet to prove that it is not an earlier one. It is asked.
    #[error("from a life of its sender that may be over")]
    UnprovenLife,
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
            Self::UnprovenLife => "unproven_life",
            Self::Repeated => "repeated",
            Self::TooManyPeers => "too_many_peers",
        }
    }
}

/// More nodes than any cluster has, dead ones included.
const PEERS_MAX: usize = 1_024;

/// All peers of a node. See the module's documentation.
#[derive(Debug)]
pub struct Pairs {
    me: NodeId,
    incarnation: Incarnation,
    keys: BundleKeys,
    /// Of the last bundle to any peer: a number per peer is not needed, it only has to rise.
    sequence: u64,
    /// In order, so that equal inputs have equal outputs.
    peers: BTreeMap<NodeId, Peer>,
    stats: PairStats,
}

impl Pairs {
    /// A node without peers.
    pub fn new(me: NodeId, incarnation: Incarnation, keys: BundleKeys) -> Self {
        Self { me, incarnation, keys, sequence: 0, peers: BTreeMap::new(), stats: PairStats::default() }
    }

    /// Adds a snapshot, whose payload `write` appends. Lossy: dropped (and counted) when too much waits for this flush.
    /// `write` is called a second time if the open bundle has no room left.
    pub fn snapshot(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, write: impl FnMut(&mut Vec<u8>)) {
        self.lossy(to, EntryKind::Snapshot, match_id, epoch, write);
    }

    /// Adds inputs. Lossy: their sender repeats them by its own rule.
    pub fn inputs(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, records: &[InputRecord]) {
        if !records.is_empty() {
            self.lossy(to, EntryKind::Inputs, match_id, epoch, |buf| {
                records.iter().for_each(|record| buf.extend_from_slice(&record.to_bytes()));
            });
        }
    }

    /// Adds a match on its way to another owner. Lossy: its sender repeats it by its own rule.
    pub fn state(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, state: &[u8]) {
        self.lossy(to, EntryKind::State, match_id, epoch, |buf| buf.extend_from_slice(state));
    }

    fn lossy(&mut self, to: NodeId, kind: EntryKind, match_id: MatchId, epoch: Epoch, write: impl FnMut(&mut Vec<u8>)) {
        let taken = self.peer(to).is_some_and(|peer| {
            peer.wake();
            peer.push_lossy(kind, match_id, epoch, write)
        });
        if !taken {
            self.stats.lossy_dropped += 1;
        }
    }

    /// Adds a control: numbered.
    pub fn control(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, control: &Control) -> Result<(), SendError> {
        self.numbered(to, EntryKind::Control, match_id, epoch, control.to_bytes().into())
    }

    /// Adds a finished message for all people that the peer has in the match: numbered. The bytes are shared. An empty
    /// message says nothing and is not delivered.
    pub fn message(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, payload: Bytes) -> Result<(), SendError> {
        self.numbered(to, EntryKind::Message, match_id, epoch, payload)
    }

    fn numbered(
        &mut self,
        to: NodeId,
        kind: EntryKind,
        match_id: MatchId,
        epoch: Epoch,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let pushed = self.peer(to).ok_or(SendError::TooManyPeers).and_then(|peer| {
            peer.wake();
            peer.window.push(Numbered { kind, match_id, epoch, payload })
        });
        if pushed.is_err() {
            self.stats.numbered_refused += 1;
        }
        pushed
    }

    /// Whether [`flush`](Self::flush) has entries to send that it has not sent yet (repeats and keep-alives apart: for
    /// these see [`next_deadline`](Self::next_deadline)).
    pub fn has_entries(&self) -> bool {
        self.peers.values().any(Peer::has_entries)
    }

    /// Seals what is due: new entries, repeats, acknowledgements (20 ms after a numbered entry came), keep-alives (250 ms
    /// after the last bundle, to active peers).
    pub fn flush(&mut self, now: Instant, mut send: impl FnMut(NodeId, Bytes)) {
        let mut sealer = Sealer {
            me: self.me,
            incarnation: self.incarnation,
            keys: &self.keys,
            sequence: &mut self.sequence,
            stats: &mut self.stats,
        };
        for (&id, peer) in &mut self.peers {
            peer.flush(id, now, &mut sealer, &mut send);
        }
    }

    /// Judges bytes from the mailbox and hands out what is in them. An error means that nothing of it counted.
    pub fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        mut event: impl FnMut(Received<'_>),
    ) -> Result<(), ReceiveError> {
        self.try_receive(now, bytes, &mut event).inspect_err(|error| self.stats.refused.count(*error))
    }

    fn try_receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        event: &mut impl FnMut(Received<'_>),
    ) -> Result<(), ReceiveError> {
        let bundle = BundleReader::open(bytes, &self.keys)?;
        let header = bundle.header;
        let (from, from_incarnation) = (header.sender, header.incarnation);
        if header.receiver != self.me || from == self.me {
            return Err(ReceiveError::OtherNode);
        }
        let me = self.incarnation;
        let peer = Self::peer_of(&mut self.peers, from).ok_or(ReceiveError::TooManyPeers)?;
        if header.receiver_incarnation != Some(me) {
            peer.introduce(from_incarnation, header.sequence);
            return Err(ReceiveError::OtherLife);
        }
        let heard = peer.speaks(&header, &mut self.stats);
        match heard {
            Heard::Ended => return Err(ReceiveError::EndedLife),
            Heard::Unproven => return Err(ReceiveError::UnprovenLife),
            Heard::Same | Heard::First | Heard::New => {}
        }
        if !peer.advance(now, header.sequence) {
            return Err(ReceiveError::Repeated);
        }
        self.stats.bundles_received += 1;
        if matches!(heard, Heard::New) {
            event(Received::PeerRestarted { node: from, incarnation: from_incarnation });
        }
        if !peer.window.acknowledge(now, header.ack) {
            self.stats.acks_ignored += 1;
        }
        for entry in bundle.entries() {
            if entry.kind.is_numbered() {
                let is_void = entry.kind == EntryKind::Message && entry.payload.is_empty();
                if !peer.take_number(now, entry.number, &mut self.stats) || is_void {
                    continue;
                }
            }
            self.stats.entries_received += 1;
            event(Received::Entry { from, from_incarnation, entry });
        }
        Ok(())
    }

    /// When [`flush`](Self::flush) has something to do that no new entry brings about. It may lie in the past.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.peers.values().filter_map(Peer::next_deadline).min()
    }

    /// Whether to send keep-alives to this peer.
    pub fn set_active(&mut self, node: NodeId, active: bool) {
        if let Some(peer) = self.peer(node) {
            peer.active = active;
            if active {
                peer.wake();
            }
        }
    }

    /// A hint from the registry about a peer's present life, to be given with each picture of it. If it is news, the next
    /// flush introduces us; what the peer itself says outweighs it, but entries pushed after the hint of a new
    /// life are kept for that life.
    pub fn meet(&mut self, node: NodeId, incarnation: Incarnation) {
        if node == self.me {
            return;
        }
        if let Some(peer) = self.peer(node) {
            peer.meet(incarnation);
        }
    }

    /// Drops what waits for a peer whose lease is gone, and its keep-alives. Should the same life speak again, the pair
    /// goes on: numbers stay without holes.
    pub fn forget(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.forget(&mut self.stats);
        }
    }

    /// Peers for whom numbered entries wait that they have not acknowledged.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> {
        self.peers.iter().filter(|(_, peer)| !peer.window.is_empty()).map(|(node, _)| *node)
    }

    /// When the last valid bundle of this peer came.
    pub fn last_heard(&self, node: NodeId) -> Option<Instant> {
        self.peers.get(&node)?.last_heard
    }

    /// The peer's present life, as far as it is known.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.peers.get(&node)?.incarnation()
    }

    /// The counts since the last call, for [`PairStats::record`].
    pub fn take_stats(&mut self) -> PairStats {
        std::mem::take(&mut self.stats)
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Peer> {
        Self::peer_of(&mut self.peers, node)
    }

    /// The peer, made if it is not there. When there are too many, the one forgotten that was silent for longest makes
    /// room; its present life, should it ever speak again, has to restart to be understood.
    fn peer_of(peers: &mut BTreeMap<NodeId, Peer>, node: NodeId) -> Option<&mut Peer> {
        if !peers.contains_key(&node) && peers.len() >= PEERS_MAX {
            let forgotten = peers.iter().filter(|(_, peer)| peer.is_dormant());
            let (&oldest, _) = forgotten.min_by_key(|(_, peer)| peer.last_heard)?;
            peers.remove(&oldest);
        }
        Some(peers.entry(node).or_default())
    }
}
