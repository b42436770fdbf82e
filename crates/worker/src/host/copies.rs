//! Copies of a match outside this process: what is written, what is under way, and what is safe.
//!
//! A copy has a state, written whole, and a journal, of which only what is new is written. It is made every 100 ms, each
//! match at its own moment, and at once after a goal. One is under way at a time. [`Saved`] is what stands around the
//! room's own bytes: what the host knows of the match.

use bytes::Bytes;
use rally_protocol::{
    client::v1::Mode,
    cluster::v1::{SeatSpec, SnapshotHead},
};
use rally_room::{JournalMark, RestoreError, Room};
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SessionId, Tick, UserId};
use serde::{Deserialize, Serialize};

/// From one copy to the next: 100 ms.
const COPY_TICKS: u32 = 6;

/// What a chunk of the journal begins with: its length.
const CHUNK_HEAD_BYTES: usize = 4;

/// A copy on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) match_id: MatchId,
    pub(crate) epoch: Epoch,
    pub(crate) tick: Tick,
    /// Where the chunk begins in the journal, in bytes.
    pub(crate) offset: u32,
    pub(crate) chunk: Bytes,
    pub(crate) state: Bytes,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// It is safe.
    Kept,
    /// Another owner has written, or taken, a copy.
    Superseded,
    /// What was written of the journal is lost: all of it is to be written again.
    Hole,
    /// It is not known, or could not be written.
    Failed,
}

/// How far the journal has been written, and a hash over all chunks so far: the journal lies where others may write, and
/// the state, which is sealed, names the journal that goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    mark: JournalMark,
    pub(crate) bytes: u32,
    chain: [u8; 16],
}

impl Written {
    /// What the room's journal has more than this, as a chunk.
    pub(crate) fn next_chunk(self, room: &Room) -> (Self, Vec<u8>) {
        let mut chunk = vec![0; CHUNK_HEAD_BYTES];
        let mark = room.journal_since(self.mark, &mut chunk);
        let body_bytes = chunk.len() - CHUNK_HEAD_BYTES;
        if body_bytes == 0 {
            return (self, Vec::new());
        }
        chunk[..CHUNK_HEAD_BYTES].copy_from_slice(&(body_bytes as u32).to_le_bytes());
        let chain = chain(self.chain, &chunk[CHUNK_HEAD_BYTES..]);
        (Self { mark, bytes: self.bytes + chunk.len() as u32, chain }, chunk)
    }
}

fn chain(before: [u8; 16], chunk: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before).update(chunk);
    let hash = hasher.finalize();
    std::array::from_fn(|i| hash.as_bytes()[i])
}

/// A match's copies.
#[derive(Debug, Default)]
pub(super) struct Copies {
    safe: Written,
    under_way: Option<(SnapshotHead, Written)>,
}

impl Copies {
    /// Those of a match whose journal has been written by its owner before.
    pub(super) fn after(safe: Written) -> Self {
        Self { safe, under_way: None }
    }

    /// Whether a copy is to be made now.
    pub(super) fn is_due(&self, room: &Room) -> bool {
        // Spread over the time by the id.
        let moment = u32::from(room.id().as_bytes()[14]);
        self.under_way.is_none()
            && ((room.tick_count().0 + moment).is_multiple_of(COPY_TICKS) || room.holds_a_goal() || room.is_over())
    }

    /// Whether one is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whatever is under way, its answer is not waited for.
    pub(super) fn forget_under_way(&mut self) {
        self.under_way = None;
    }

    /// Makes one.
    pub(super) fn make(&mut self, room: &Room, saved: impl FnOnce(Written) -> Bytes) -> Copy {
        let (written, chunk) = self.safe.next_chunk(room);
        self.under_way = Some((room.snapshot_head(), written));
        Copy {
            match_id: room.id(),
            epoch: room.epoch(),
            tick: room.tick_count(),
            offset: self.safe.bytes,
            chunk: chunk.into(),
            state: saved(written),
        }
    }

    /// What became of the one under way. Returns the head of what is safe now, if that is news.
    pub(super) fn made(&mut self, tick: Tick, copied: Copied) -> Option<SnapshotHead> {
        let (head, written) = self.under_way.take_if(|(head, _)| head.tick == tick)?;
        match copied {
            Copied::Kept => {
                self.safe = written;
                Some(head)
            }
            Copied::Hole => {
                self.safe = Written::default();
                None
            }
            Copied::Superseded | Copied::Failed => None,
        }
    }
}

/// An edge that was attached, with those of its people who play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedEdge {
    pub(super) edge: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) players: Vec<(SessionId, UserId)>,
}

/// What the host knows of a match beside its room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) mode: Mode,
    pub(super) seats: [SeatSpec; 2],
    pub(super) started: bool,
    pub(super) edges: Vec<SavedEdge>,
    journal_bytes: u32,
    chain: [u8; 16],
}

/// Why a copy cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// What the host wrote does not read.
    #[error("its head does not read: {0}")]
    Head(#[from] rmp_serde::decode::Error),
    /// It ends too soon.
    #[error("truncated")]
    Truncated,
    /// The journal is another one.
    #[error("the journal does not go with the state")]
    Journal,
    /// The room does not restore.
    #[error("{0}")]
    Room(#[from] RestoreError),
}

impl Saved {
    pub(super) fn new(
        mode: Mode,
        seats: [SeatSpec; 2],
        started: bool,
        edges: Vec<SavedEdge>,
        written: Written,
    ) -> Self {
        Self { mode, seats, started, edges, journal_bytes: written.bytes, chain: written.chain }
    }

    /// This, then the room.
    pub(super) fn write(&self, room: &Room) -> Bytes {
        // Writing to memory cannot fail, and every field can be written.
        let head = rmp_serde::to_vec(self).unwrap_or_default();
        let mut out = Vec::with_capacity(head.len() + 2_048);
        out.extend_from_slice(&(head.len() as u32).to_le_bytes());
        out.extend_from_slice(&head);
        room.save(&mut out);
        out.into()
    }

    /// What was written, under the next epoch. The journal is that of the copy, framed chunks one after the other.
    pub(super) fn restore(state: &[u8], journal: &[u8], epoch: Epoch) -> Result<(Self, Room, Written), CopyError> {
        let (head_bytes, rest) = state.split_first_chunk::<4>().ok_or(CopyError::Truncated)?;
        let head_bytes = u32::from_le_bytes(*head_bytes) as usize;
        let (head, room) = rest.split_at_checked(head_bytes).ok_or(CopyError::Truncated)?;
        let saved: Self = rmp_serde::from_slice(head)?;
        let mut chunks = Vec::with_capacity(journal.len());
        let mut so_far = [0; 16];
        let mut rest = journal.get(..saved.journal_bytes as usize).ok_or(CopyError::Journal)?;
        while !rest.is_empty() {
            let (bytes, after) = rest.split_first_chunk::<CHUNK_HEAD_BYTES>().ok_or(CopyError::Journal)?;
            let bytes = u32::from_le_bytes(*bytes) as usize;
            let (chunk, after) = after.split_at_checked(bytes).ok_or(CopyError::Journal)?;
            so_far = chain(so_far, chunk);
            chunks.extend_from_slice(chunk);
            rest = after;
        }
        if so_far != saved.chain {
            return Err(CopyError::Journal);
        }
        let room = Room::restore(room, &chunks, epoch)?;
        let written = Written { mark: room.journal_mark(), bytes: saved.journal_bytes, chain: saved.chain };
        Ok((saved, room, written))
    }
}
