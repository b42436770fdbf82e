//! A bundle: all that one node has to tell another at one moment, sealed with a MAC of the cluster key.
//!
//! All integers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 1 |
//! | 1..9 | sender |
//! | 9..17 | its incarnation |
//! | 17..25 | receiver |
//! | 25..33 | the receiver's incarnation as the sender knows it, 0 if it does not |
//! | 33..41 | sequence: rises with each bundle of this sender's incarnation to this receiver |
//! | 41..45 | cumulative acknowledgement: the highest numbered entry received without a hole |
//! | 45..53 | the highest sequence received from this life of the receiver: proof that the sender lives |
//! | 53..55 | count of entries |
//! | ... | entries: kind (1), match (16), epoch (4), number (4, 0 if not numbered), length (2), payload |
//! | last 16 | BLAKE3 keyed hash of all before it, truncated |
//!
//! The receiver stands in what is sealed, so that a bundle cannot be replayed into another node's mailbox.

use blake3::Hash;
use rally_units::{Epoch, Incarnation, MatchId, NodeId};

use super::v1::VERSION;
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_ENTRIES_MAX, ENTRY_PAYLOAD_BYTES_MAX};

const HEADER_BYTES: usize = 55;
const ENTRY_HEADER_BYTES: usize = 27;
const MAC_BYTES: usize = 16;
const COUNT_AT: usize = 53;

/// The keys of a cluster: the first signs, all verify, so that keys can roll without a gap.
#[derive(Clone)]
pub struct BundleKeys(Vec<[u8; 32]>);

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing to sign with.
    #[error("at least one cluster key is needed")]
    None,
    /// Too short to be random.
    #[error("a cluster key has at least 32 bytes, this one has {0}")]
    Short(usize),
}

impl BundleKeys {
    /// Derives the MAC keys from the cluster's secrets, the one that signs first.
    pub fn derive<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, KeyError> {
        let keys = secrets
            .into_iter()
            .map(|secret| match secret.len() {
                0..32 => Err(KeyError::Short(secret.len())),
                _ => Ok(blake3::derive_key("rally 2026 bundle mac v1", secret)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self(keys)) }
    }

    /// These bytes with a valid seal, whatever they are: for fuzzing what lies behind it.
    #[doc(hidden)]
    pub fn seal_raw(&self, bytes: &[u8]) -> Vec<u8> {
        [bytes, &self.sign(bytes)].concat()
    }

    /// These bytes with a seal that holds for this match alone: for what is kept where others may write.
    pub fn seal_for(&self, match_id: MatchId, bytes: &[u8]) -> Vec<u8> {
        let mac = self.sign(&Self::for_match(match_id, bytes));
        [bytes, &mac].concat()
    }

    /// What was sealed for this match; `None` if it was not.
    pub fn open_for<'a>(&self, match_id: MatchId, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (bytes, mac) = sealed.split_last_chunk::<MAC_BYTES>()?;
        self.verify(&Self::for_match(match_id, bytes), mac).then_some(bytes)
    }

    /// What is signed begins with a byte that no version of a bundle has.
    fn for_match(match_id: MatchId, bytes: &[u8]) -> Vec<u8> {
        [&[0][..], b"match", match_id.as_bytes(), bytes].concat()
    }

    fn sign(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        truncated(blake3::keyed_hash(&self.0[0], bytes))
    }

    fn verify(&self, bytes: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
        // `Hash` compares in constant time, so both sides are padded back to one.
        self.0.iter().any(|key| padded(truncated(blake3::keyed_hash(key, bytes))) == padded(*mac))
    }
}

impl std::fmt::Debug for BundleKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BundleKeys({} keys)", self.0.len())
    }
}

fn truncated(hash: Hash) -> [u8; MAC_BYTES] {
    std::array::from_fn(|i| hash.as_bytes()[i])
}

fn padded(mac: [u8; MAC_BYTES]) -> Hash {
    Hash::from_bytes(std::array::from_fn(|i| mac.get(i).copied().unwrap_or(0)))
}

/// How an entry is to be delivered and read. See [`super::v1`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Lossy, newest wins.
    Snapshot = 0,
    /// Repeated by its sender's own rule.
    Inputs = 1,
    /// Numbered: a control.
    Control = 2,
    /// Numbered: a finished message.
    Message = 3,
    /// Repeated by its sender's own rule: a match on its way to another owner.
    State = 4,
}

impl EntryKind {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Snapshot),
            1 => Some(Self::Inputs),
            2 => Some(Self::Control),
            3 => Some(Self::Message),
            4 => Some(Self::State),
            _ => None,
        }
    }

    /// Whether entries of this kind carry a number and are acknowledged.
    pub const fn is_numbered(self) -> bool {
        matches!(self, Self::Control | Self::Message)
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// How to read it.
    pub kind: EntryKind,
    /// What it is about.
    pub match_id: MatchId,
    /// The owner's epoch (0 where the sender does not know it).
    pub epoch: Epoch,
    /// Its number between these two nodes, from 1; 0 where not numbered.
    pub number: u32,
    /// At most [`ENTRY_PAYLOAD_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// What stands in front of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleHeader {
    /// Who speaks.
    pub sender: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// To whom.
    pub receiver: NodeId,
    /// In which life, as far as the sender knows.
    pub receiver_incarnation: Option<Incarnation>,
    /// Rises with each bundle.
    pub sequence: u64,
    /// The highest numbered entry received without a hole.
    pub ack: u32,
    /// The highest sequence received from the life that the bundle is for. A bundle of a sender that is dead, however late
    /// it comes, cannot know the sequence of what was sent to it just now.
    pub seen: u64,
}

/// Why bytes are not a bundle that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Shorter than it says.
    #[error("truncated")]
    Truncated,
    /// Longer than allowed.
    #[error("too large")]
    TooLarge,
    /// Of a version that we do not speak.
    #[error("unknown version")]
    Version,
    /// Not sealed by one of our keys.
    #[error("wrong MAC")]
    Mac,
    /// Sealed, but of a shape that we do not know.
    #[error("malformed")]
    Malformed,
}

impl BundleError {
    /// A fixed label for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::Mac => "mac",
            Self::Malformed => "malformed",
        }
    }
}

/// Collects entries for one peer, then seals them.
#[derive(Debug, Default)]
pub struct BundleWriter {
    /// Header and entries so far; empty, or at least a blank header.
    buf: Vec<u8>,
    count: usize,
}

impl BundleWriter {
    /// Whether `payload_bytes` more would fit.
    pub fn has_room(&self, payload_bytes: usize) -> bool {
        self.count < BUNDLE_ENTRIES_MAX
            && self.buf.len().max(HEADER_BYTES) + ENTRY_HEADER_BYTES + payload_bytes + MAC_BYTES <= BUNDLE_BYTES_MAX
    }

    /// Whether nothing has been pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Adds an entry; returns whether it fitted.
    #[must_use]
    pub fn push(&mut self, entry: Entry<'_>) -> bool {
        self.push_with(entry.kind, entry.match_id, entry.epoch, entry.number, |out| {
            out.extend_from_slice(entry.payload);
        })
    }

    /// Adds an entry whose payload `write` appends, without a copy in between; returns whether it fitted.
    #[must_use]
    pub fn push_with(
        &mut self,
        kind: EntryKind,
        match_id: MatchId,
        epoch: Epoch,
        number: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if self.buf.is_empty() {
            self.buf.resize(HEADER_BYTES, 0);
        }
        let start = self.buf.len();
        self.buf.push(kind as u8);
        self.buf.extend_from_slice(match_id.as_bytes());
        self.buf.extend_from_slice(&epoch.0.to_le_bytes());
        self.buf.extend_from_slice(&number.to_le_bytes());
        self.buf.extend_from_slice(&[0, 0]);
        write(&mut self.buf);
        let payload_bytes = self.buf.len() - start - ENTRY_HEADER_BYTES;
        let fits = self.count < BUNDLE_ENTRIES_MAX
            && payload_bytes <= ENTRY_PAYLOAD_BYTES_MAX
            && self.buf.len() + MAC_BYTES <= BUNDLE_BYTES_MAX;
        if !fits {
            self.buf.truncate(start);
            return false;
        }
        self.buf[start + ENTRY_HEADER_BYTES - 2..start + ENTRY_HEADER_BYTES]
            .copy_from_slice(&(payload_bytes as u16).to_le_bytes());
        self.count += 1;
        true
    }

    /// Seals what was pushed (possibly nothing: an acknowledgement alone) and starts over.
    pub fn seal(&mut self, header: BundleHeader, keys: &BundleKeys) -> Vec<u8> {
        let mut buf = std::mem::take(&mut self.buf);
        let count = std::mem::take(&mut self.count);
        if buf.is_empty() {
            buf.resize(HEADER_BYTES, 0);
        }
        buf[0] = VERSION;
        buf[1..9].copy_from_slice(&header.sender.to_bits().to_le_bytes());
        buf[9..17].copy_from_slice(&header.incarnation.to_bits().to_le_bytes());
        buf[17..25].copy_from_slice(&header.receiver.to_bits().to_le_bytes());
        let receiver_incarnation = header.receiver_incarnation.map_or(0, Incarnation::to_bits);
        buf[25..33].copy_from_slice(&receiver_incarnation.to_le_bytes());
        buf[33..41].copy_from_slice(&header.sequence.to_le_bytes());
        buf[41..45].copy_from_slice(&header.ack.to_le_bytes());
        buf[45..53].copy_from_slice(&header.seen.to_le_bytes());
        buf[COUNT_AT..HEADER_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
        let mac = keys.sign(&buf);
        buf.extend_from_slice(&mac);
        // The next bundle to this peer will be about as long.
        self.buf.reserve(buf.len());
        buf
    }
}

/// A bundle whose seal and shape have been checked.
#[derive(Clone, Copy, Debug)]
pub struct BundleReader<'a> {
    /// What stands in front.
    pub header: BundleHeader,
    count: u16,
    body: &'a [u8],
}

impl<'a> BundleReader<'a> {
    /// Checks the seal, then every entry's frame, so that reading the entries cannot fail half-way.
    pub fn open(bytes: &'a [u8], keys: &BundleKeys) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        let (sealed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(BundleError::Truncated)?;
        let (head, body) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(BundleError::Truncated)?;
        // The version comes first: another version may seal in another way.
        if head[0] != VERSION {
            return Err(BundleError::Version);
        }
        if !keys.verify(sealed, mac) {
            return Err(BundleError::Mac);
        }
        let u64_at = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| head[i + k]));
        let header = BundleHeader {
            sender: NodeId::from_bits(u64_at(1)),
            incarnation: Incarnation::from_bits(u64_at(9)),
            receiver: NodeId::from_bits(u64_at(17)),
            receiver_incarnation: match u64_at(25) {
                0 => None,
                bits => Some(Incarnation::from_bits(bits)),
            },
            sequence: u64_at(33),
            ack: u32::from_le_bytes(std::array::from_fn(|k| head[41 + k])),
            seen: u64_at(45),
        };
        let count = u16::from_le_bytes([head[COUNT_AT], head[COUNT_AT + 1]]);
        let reader = Self { header, count, body };
        let mut entries = reader.entries();
        if entries.by_ref().count() != usize::from(count) || !entries.rest.is_empty() {
            return Err(BundleError::Malformed);
        }
        Ok(reader)
    }

    /// Its entries, in the order in which they were pushed.
    pub fn entries(&self) -> Entries<'a> {
        Entries { rest: self.body, left: self.count }
    }
}

/// Iterates over a bundle's entries.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.rest.split_first_chunk::<ENTRY_HEADER_BYTES>()?;
        let u32_at = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| head[i + k]));
        let (payload, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[25], head[26]])))?;
        let entry = Entry {
            kind: EntryKind::from_number(head[0])?,
            match_id: MatchId::from_bytes(std::array::from_fn(|k| head[1 + k])),
            epoch: Epoch(u32_at(17)),
            number: u32_at(21),
            payload,
        };
        if entry.kind.is_numbered() != (entry.number != 0) {
            return None;
        }
        self.rest = rest;
        Some(entry)
    }
}
