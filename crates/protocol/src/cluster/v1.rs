//! Version 1 of the cluster protocol: the entries of a bundle.
//!
//! | entry | from, to | delivery | payload |
//! |---|---|---|---|
//! | `Snapshot` | worker, edge | lossy, newest wins | [`SnapshotHead`], then the finished msgpack message |
//! | `Inputs` | edge, worker | repeated by the edge until applied | [`InputRecord`]s |
//! | `Control` | both ways | numbered, repeated until acknowledged | [`Control`] as msgpack |
//! | `State` | worker, worker | repeated by the sender until `Landed` | a match on its way to another owner, whose format is the workers' own |
//! | `Message` | worker, edge | numbered, repeated until acknowledged | the finished msgpack message, for all of this edge's people in the match |

pub use super::control::{Command, Control, ControlError, MatchSpec, NodeLoad, Order, Present, SeatSpec};

use rally_units::Tick;

use crate::client::v1::{Dir, Side};

/// The first byte of every bundle.
pub const VERSION: u8 = 1;

/// What stands in front of a snapshot's message, so that an edge can judge it unread. All integers little-endian.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | tick |
/// | 4..6, 6..8 | generation of the left and right seat |
/// | 8..12, 12..16 | highest input applied of that generation, left and right |
/// | 16..20, 20..24 | highest input of that generation that outlives the owner, left and right |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The snapshot's tick.
    pub tick: Tick,
    /// The seats' generations.
    pub generation: [u16; 2],
    /// The highest input (the edge's own number) applied of each seat's generation.
    pub applied: [u32; 2],
    /// The highest of these that a copy of the match has: edges keep all later ones, for the case that the owner is lost.
    pub durable: [u32; 2],
}

impl SnapshotHead {
    /// Its size.
    pub const BYTES: usize = 24;

    /// As it travels.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[0..4].copy_from_slice(&self.tick.0.to_le_bytes());
        out[4..6].copy_from_slice(&self.generation[0].to_le_bytes());
        out[6..8].copy_from_slice(&self.generation[1].to_le_bytes());
        out[8..12].copy_from_slice(&self.applied[0].to_le_bytes());
        out[12..16].copy_from_slice(&self.applied[1].to_le_bytes());
        out[16..20].copy_from_slice(&self.durable[0].to_le_bytes());
        out[20..24].copy_from_slice(&self.durable[1].to_le_bytes());
        out
    }

    /// Splits a snapshot's payload; `None` if it is too short.
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (head, message) = payload.split_first_chunk::<{ Self::BYTES }>()?;
        let u16_at = |i: usize| u16::from_le_bytes([head[i], head[i + 1]]);
        let u32_at = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let head = Self {
            tick: Tick(u32_at(0)),
            generation: [u16_at(4), u16_at(6)],
            applied: [u32_at(8), u32_at(12)],
            durable: [u32_at(16), u32_at(20)],
        };
        Some((head, message))
    }
}

/// One input of one seat. All integers little-endian.
///
/// | byte | what |
/// |---|---|
/// | 0 | bit 0: side (1 is right), bit 1: press, bits 2 and 3: dir + 1 |
/// | 1..3 | generation of the seat |
/// | 3..7 | `n`: the edge's own number, from 1 without holes |
/// | 7..11 | `seq`: the client's |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputRecord {
    /// Whose paddle.
    pub side: Side,
    /// Which attachment of the player.
    pub generation: u16,
    /// The edge's number.
    pub n: u32,
    /// The client's number.
    pub seq: u32,
    /// The direction held from now on.
    pub dir: Dir,
    /// Whether the skill key went down.
    pub press: bool,
}

impl InputRecord {
    /// Its size.
    pub const BYTES: usize = 11;

    /// As it travels.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let dir = (i8::from(self.dir) + 1) as u8;
        out[0] = self.side.number() | u8::from(self.press) << 1 | dir << 2;
        out[1..3].copy_from_slice(&self.generation.to_le_bytes());
        out[3..7].copy_from_slice(&self.n.to_le_bytes());
        out[7..11].copy_from_slice(&self.seq.to_le_bytes());
        out
    }

    /// Reads one; `None` if a bit is set that has no meaning.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        if bytes[0] & 0xf0 != 0 {
            return None;
        }
        Some(Self {
            side: Side::from_number(bytes[0] & 1)?,
            generation: u16::from_le_bytes([bytes[1], bytes[2]]),
            n: u32::from_le_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]),
            seq: u32::from_le_bytes([bytes[7], bytes[8], bytes[9], bytes[10]]),
            dir: Dir::try_from((bytes[0] >> 2 & 3) as i8 - 1).ok()?,
            press: bytes[0] & 2 != 0,
        })
    }

    /// Reads the payload of an `Inputs` entry; `None` if it is no whole number of valid records.
    pub fn read_all(payload: &[u8]) -> Option<impl Iterator<Item = Self> + '_> {
        let (records, rest) = payload.as_chunks::<{ Self::BYTES }>();
        let valid = rest.is_empty() && records.iter().all(|record| Self::from_bytes(record).is_some());
        valid.then(|| records.iter().filter_map(Self::from_bytes))
    }
}
