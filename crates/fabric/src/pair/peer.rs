//! What a node keeps of one peer.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rally_protocol::cluster::{BundleHeader, BundleKeys, BundleWriter, EntryKind};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

use super::{PairStats, window::Window};

/// A numbered entry is acknowledged this long after it came, unless a bundle goes there sooner anyway.
const ACK_AFTER: Duration = Duration::from_millis(20);
/// An active peer hears of us at least this often.
const KEEP_ALIVE: Duration = Duration::from_millis(250);
/// Introductions go to one peer at most this often, whatever it (or somebody who replays its bundles) sends.
const INTRODUCE_EVERY: Duration = Duration::from_millis(20);
/// A peer whose life is not known is asked for it again after this long.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Bundles open at once for one peer: what does not fit is lossy and dropped.
const OPEN_BUNDLES_MAX: usize = 8;
/// Ended lives that are remembered of one peer.
const ENDED_LIVES_MAX: usize = 32;

/// In which of its lives a peer speaks.
pub(super) enum Heard {
    /// The life that we know.
    Same,
    /// The first that we hear of this peer.
    First,
    /// Another than before.
    New,
    /// One that is over.
    Ended,
    /// Another than before, which has yet to prove that it is not the past.
    Unproven,
}

/// A life of a peer that shall learn ours.
#[derive(Clone, Copy, Debug)]
struct Introduction {
    to: Incarnation,
    /// The highest sequence that we have received from it.
    seen: u64,
    /// The sequence of the first bundle that we sent to it for this: who has seen that one is alive.
    challenge: Option<u64>,
    /// A bundle is to go there.
    due: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The life in which it has spoken to ours. Numbered entries go to no other: they would have to be numbered anew if
    /// it turned out to be over, and it might have taken some.
    life: Option<Incarnation>,
    ended: VecDeque<Incarnation>,
    /// The registry says that the peer lives in this life, and has said so since we were at this number: entries from there
    /// on are meant for it.
    rumour: Option<(Incarnation, u32)>,

    /// Bundles being filled; the last one is open.
    open: Vec<BundleWriter>,
    pub(super) window: Window,

    /// The highest sequence received in the peer's present life.
    sequence: u64,
    /// The highest number received without a hole.
    ack: u32,
    ack_due: Option<Instant>,

    introduction: Option<Introduction>,
    introduced_at: Option<Instant>,
    /// When we last asked the peer for its life, not knowing any.
    asked_at: Option<Instant>,

    pub(super) active: bool,
    /// Forgotten: nothing goes there until it is heard again.
    dormant: bool,
    last_sent: Option<Instant>,
    pub(super) last_heard: Option<Instant>,
}

/// What a flush needs of its node.
pub(super) struct Sealer<'a> {
    pub(super) me: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) keys: &'a BundleKeys,
    /// Rises over all peers.
    pub(super) sequence: &'a mut u64,
    pub(super) stats: &'a mut PairStats,
}

impl Sealer<'_> {
    fn seal(&mut self, writer: &mut BundleWriter, to: NodeId, life: Option<Incarnation>, ack: u32, seen: u64) -> Bytes {
        *self.sequence += 1;
        let header = BundleHeader {
            sender: self.me,
            incarnation: self.incarnation,
            receiver: to,
            receiver_incarnation: life,
            sequence: *self.sequence,
            ack,
            seen,
        };
        self.stats.entries_sent += writer.len() as u64;
        let bundle = Bytes::from(writer.seal(header, self.keys));
        self.stats.bundles_sent += 1;
        self.stats.bytes_sent += bundle.len() as u64;
        bundle
    }
}

impl Peer {
    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        self.life
    }

    pub(super) fn is_dormant(&self) -> bool {
        self.dormant
    }

    /// Adds a lossy entry; returns whether there was room.
    pub(super) fn push_lossy(
        &mut self,
        kind: EntryKind,
        match_id: MatchId,
        epoch: Epoch,
        mut write: impl FnMut(&mut Vec<u8>),
    ) -> bool {
        if let Some(writer) = self.open.last_mut()
            && writer.push_with(kind, match_id, epoch, 0, &mut write)
        {
            return true;
        }
        self.open_another().is_some_and(|writer| writer.push_with(kind, match_id, epoch, 0, &mut write))
    }

    fn open_another(&mut self) -> Option<&mut BundleWriter> {
        // One that is open and empty is as good as another.
        if self.open.last().is_none_or(|writer| !writer.is_empty()) {
            if self.open.len() >= OPEN_BUNDLES_MAX {
                return None;
            }
            self.open.push(BundleWriter::default());
        }
        self.open.last_mut()
    }

    pub(super) fn has_entries(&self) -> bool {
        if self.dormant {
            return false;
        }
        match self.life {
            Some(_) => self.has_open() || self.window.has_unsent(),
            // Only a question can go out, once in a while.
            None => (self.has_open() || !self.window.is_empty()) && self.asked_at.is_none(),
        }
    }

    fn has_open(&self) -> bool {
        self.open.iter().any(|writer| !writer.is_empty())
    }

    /// New entries wake a peer that was forgotten.
    pub(super) fn wake(&mut self) {
        self.dormant = false;
    }

    pub(super) fn forget(&mut self, stats: &mut PairStats) {
        stats.numbered_dropped += self.window.void() as u64;
        self.open.clear();
        self.active = false;
        self.dormant = true;
        self.ack_due = None;
    }

    /// The registry says so. Its picture may be older than what the peer itself has said: ask that life, which answers
    /// if it lives.
    pub(super) fn meet(&mut self, incarnation: Incarnation) {
        if self.life == Some(incarnation) {
            self.rumour = None;
        } else if !self.ended.contains(&incarnation) {
            self.introduce(incarnation, 0);
            if self.rumour.is_none_or(|(known, _)| known != incarnation) {
                self.rumour = Some((incarnation, self.window.next_number()));
            }
        }
    }

    /// This life of the peer, of which this sequence has come, shall learn ours.
    pub(super) fn introduce(&mut self, to: Incarnation, sequence: u64) {
        match &mut self.introduction {
            Some(introduction) if introduction.to == to => {
                introduction.seen = introduction.seen.max(sequence);
                introduction.due = true;
            }
            other => *other = Some(Introduction { to, seen: sequence, challenge: None, due: true }),
        }
    }

    /// A sealed bundle that names our life comes from a life of the peer. Another one than we know must have seen what
    /// we sent it since: the bundle may be the last, late words of a life that ended before the one that we know.
    pub(super) fn speaks(&mut self, header: &BundleHeader, stats: &mut PairStats) -> Heard {
        let incarnation = header.incarnation;
        if self.life == Some(incarnation) {
            if header.seen == 0 {
                // It has heard nothing from us: our introduction was lost, and there may be nothing else to say.
                self.introduce(incarnation, header.sequence);
            }
            return Heard::Same;
        }
        if self.ended.contains(&incarnation) {
            return Heard::Ended;
        }
        let asked = self.introduction.filter(|introduction| introduction.to == incarnation);
        let is_alive = asked.and_then(|introduction| introduction.challenge).is_some_and(|c| header.seen >= c);
        // In any case it is answered: it may have to prove us alive, too.
        self.introduce(incarnation, header.sequence);
        if self.life.is_some() && !is_alive {
            return Heard::Unproven;
        }
        let rumour = self.rumour.take().filter(|(known, _)| *known == incarnation);
        let Some(before) = self.life.replace(incarnation) else { return Heard::First };
        if self.ended.len() == ENDED_LIVES_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(before);
        let keep_from = rumour.map_or(self.window.next_number(), |(_, from)| from);
        stats.numbered_dropped += self.window.restart(keep_from) as u64;
        self.open.clear();
        self.sequence = 0;
        self.ack = 0;
        self.ack_due = None;
        Heard::New
    }

    /// Takes note of a bundle of the present life; `false` if it was received before or is overtaken.
    pub(super) fn advance(&mut self, now: Instant, sequence: u64) -> bool {
        if sequence <= self.sequence {
            return false;
        }
        self.sequence = sequence;
        self.last_heard = Some(now);
        self.dormant = false;
        self.window.heard();
        true
    }

    /// Whether a numbered entry is the next one. It will be acknowledged either way.
    pub(super) fn take_number(&mut self, now: Instant, number: u32, stats: &mut PairStats) -> bool {
        self.ack_due.get_or_insert(now + ACK_AFTER);
        let next = self.ack.checked_add(1) == Some(number);
        if next {
            self.ack = number;
        } else if number <= self.ack {
            stats.numbered_repeated += 1;
        } else {
            stats.numbered_gaps += 1;
        }
        next
    }

    pub(super) fn flush(
        &mut self,
        id: NodeId,
        now: Instant,
        sealer: &mut Sealer<'_>,
        send: &mut impl FnMut(NodeId, Bytes),
    ) {
        self.flush_introduction(id, now, sealer, send);
        if self.dormant {
            return;
        }
        match self.life {
            Some(life) => self.flush_known(id, life, now, sealer, send),
            None => self.flush_unknown(id, now, sealer, send),
        }
    }

    fn flush_introduction(
        &mut self,
        id: NodeId,
        now: Instant,
        sealer: &mut Sealer<'_>,
        send: &mut impl FnMut(NodeId, Bytes),
    ) {
        if self.introduction_due().is_none_or(|due| due > now) {
            return;
        }
        let Some(introduction) = &mut self.introduction else { return };
        introduction.due = false;
        introduction.challenge.get_or_insert(*sealer.sequence + 1);
        let (ack, seen) =
            if self.life == Some(introduction.to) { (self.ack, self.sequence) } else { (0, introduction.seen) };
        self.introduced_at = Some(now);
        send(id, sealer.seal(&mut BundleWriter::default(), id, Some(introduction.to), ack, seen));
    }

    fn introduction_due(&self) -> Option<Instant> {
        self.introduction.filter(|introduction| introduction.due)?;
        Some(self.introduced_at.map_or(Instant::default(), |at| at + INTRODUCE_EVERY))
    }

    /// The peer would refuse everything that does not name its life: ask for it, and keep what can be kept.
    fn flush_unknown(
        &mut self,
        id: NodeId,
        now: Instant,
        sealer: &mut Sealer<'_>,
        send: &mut impl FnMut(NodeId, Bytes),
    ) {
        let wanted = self.has_open() || !self.window.is_empty();
        sealer.stats.lossy_dropped += self.open.drain(..).map(|writer| writer.len() as u64).sum::<u64>();
        let asks = wanted && self.asked_at.is_none_or(|at| at + ASK_EVERY <= now);
        if asks || self.keep_alive_due().is_some_and(|due| due <= now) {
            self.asked_at = Some(now);
            self.last_sent = Some(now);
            let rumoured = self.rumour.map(|(incarnation, _)| incarnation);
            send(id, sealer.seal(&mut BundleWriter::default(), id, rumoured, 0, 0));
        }
    }

    fn flush_known(
        &mut self,
        id: NodeId,
        life: Incarnation,
        now: Instant,
        sealer: &mut Sealer<'_>,
        send: &mut impl FnMut(NodeId, Bytes),
    ) {
        sealer.stats.repeats_sent += self.window.rewind_if_due(now) as u64;
        if self.window.has_unsent() {
            let open = &mut self.open;
            self.window.send_unsent(now, |number, entry| {
                let push = |writer: &mut BundleWriter| {
                    writer.push_with(entry.kind, entry.match_id, entry.epoch, number, |buf| {
                        buf.extend_from_slice(&entry.payload);
                    })
                };
                if !open.last_mut().is_some_and(push) {
                    // The window bounds how many these become, and an empty bundle has room for any entry.
                    open.push(BundleWriter::default());
                    let _fits = open.last_mut().is_some_and(push);
                }
            });
        }
        let empty_due = [self.ack_due, self.keep_alive_due()].iter().flatten().any(|due| *due <= now);
        if !self.has_open() && !empty_due {
            return;
        }
        if self.open.is_empty() {
            self.open.push(BundleWriter::default());
        }
        for (i, writer) in self.open.iter_mut().enumerate() {
            if i == 0 || !writer.is_empty() {
                send(id, sealer.seal(writer, id, Some(life), self.ack, self.sequence));
            }
        }
        // The first one keeps its buffer for the next flush.
        self.open.truncate(1);
        self.ack_due = None;
        self.last_sent = Some(now);
    }

    fn keep_alive_due(&self) -> Option<Instant> {
        let due = self.last_sent.map_or(Instant::default(), |sent| sent + KEEP_ALIVE);
        (self.active && !self.dormant).then_some(due)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let again_at = match self.life {
            _ if self.dormant => None,
            Some(_) => self.window.repeat_at(),
            None if self.window.is_empty() => None,
            None => Some(self.asked_at.map_or(Instant::default(), |at| at + ASK_EVERY)),
        };
        [self.ack_due, self.keep_alive_due(), self.introduction_due(), again_at].into_iter().flatten().min()
    }
}
