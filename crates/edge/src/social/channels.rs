//! Channels as this edge sees them: who reads one here, what comes in which order, and what is to be stored next.
//!
//! Messages reach readers in the order of their offsets, each once. What comes too early waits for what is missing;
//! when that has not come after [`HOLE_FOR`], Postgres is asked. Nothing here is the truth: a channel that somebody
//! begins to read here starts with what Postgres says.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rally_fabric::SharedRate;
use rally_protocol::client::v1::ErrorCode;
use rally_store::{NewMessage, Stretch};
use rally_units::Instant;
use tokio_util::sync::DropGuard;

use super::{names::ChannelName, people::Wishes, wire::Said};
use crate::socket::ConnId;

/// What is said within this time is stored together.
pub(super) const BATCH_FOR: Duration = Duration::from_millis(5);
/// How long something may be missing before Postgres is asked.
pub(super) const HOLE_FOR: Duration = Duration::from_millis(200);
/// How long after something was said a channel's last offset is told, each second.
pub(super) const ANNOUNCE_FOR: Duration = Duration::from_secs(3);

/// Messages stored at once.
pub(super) const BATCH_MAX: usize = 100;
/// Messages of a channel that wait to be stored; more are refused.
pub(super) const WAITING_MAX: usize = 1_000;
/// Messages of a channel that are remembered, for those who are about to read it.
const RING_MAX: usize = 256;
/// Messages of a channel that wait for what is missing before them; beyond it they are read again.
const EARLY_MAX: usize = 1_024;

/// What one may say: ten messages at once, then one a second; counted in the whole cluster.
pub(super) const CHAT_RATE: SharedRate =
    SharedRate { name: "chat", interval: Duration::from_secs(1), burst: 10, growth_max: 1, remember: Duration::ZERO };

pub(super) const STORED: &str = "rally_chat_messages_stored_total";
pub(super) const DELIVERED: &str = "rally_chat_messages_delivered_total";
pub(super) const REFUSED: &str = "rally_chat_refused_total";
pub(super) const HOLES: &str = "rally_chat_holes_total";
pub(super) const STORE_SECONDS: &str = "rally_chat_store_seconds";
pub(super) const CHANNELS: &str = "rally_chat_channels";

pub(super) fn describe() {
    metrics::describe_counter!(STORED, "chat messages that this edge has stored");
    metrics::describe_counter!(DELIVERED, "chat messages given to readers here");
    metrics::describe_counter!(REFUSED, "chat messages refused, by reason");
    metrics::describe_counter!(HOLES, "times that chat messages were missing and read again");
    metrics::describe_histogram!(STORE_SECONDS, metrics::Unit::Seconds, "storing a batch of chat messages");
    metrics::describe_gauge!(CHANNELS, "channels that somebody reads here");
}

/// Somebody who reads a channel here.
pub(super) struct Member {
    pub(super) conn: ConnId,
    pub(super) name: ChannelName,
    /// The last offset that it has been given.
    pub(super) seen: u64,
}

/// Something that waits to be stored.
pub(super) struct Waiting {
    pub(super) conn: ConnId,
    pub(super) of: &'static str,
    pub(super) message: NewMessage,
}

/// What a new member has missed.
pub(crate) struct CaughtUp {
    pub(super) stretch: Stretch,
    /// Whether it continues where the member had stopped.
    pub(super) recovered: bool,
    /// What the member wishes, if that was not known yet: nobody reads before whom he blocks is known.
    pub(super) wishes: Option<Wishes>,
}

/// Why somebody does not come to read.
pub(crate) type Unread = (ErrorCode, &'static str);

/// Whether messages come.
pub(super) enum Feed {
    /// Not yet: these wait to read.
    Pending(Vec<(ConnId, ChannelName, Option<u64>)>),
    /// They do.
    Open,
}

/// A channel that somebody reads here.
pub(super) struct Channel {
    pub(super) feed: Feed,
    /// Ends the subscription.
    _reader: DropGuard,
    pub(super) members: Vec<Member>,
    /// How many are about to be members.
    pub(super) reading: usize,
    /// The last offset up to which everything has come; unknown until somebody has read.
    delivered: Option<u64>,
    ring: VecDeque<Said>,
    early: BTreeMap<u64, Said>,
    /// The highest offset that there is, as far as anybody has said.
    last: u64,
    hole_since: Option<Instant>,
    pub(super) filling: bool,
    pub(super) waiting: Vec<Waiting>,
    pub(super) storing: bool,
    pub(super) batch_since: Option<Instant>,
    pub(super) said_at: Option<Instant>,
}

impl Channel {
    pub(super) fn new(reader: DropGuard) -> Self {
        Self {
            feed: Feed::Pending(Vec::new()),
            _reader: reader,
            members: Vec::new(),
            reading: 0,
            delivered: None,
            ring: VecDeque::new(),
            early: BTreeMap::new(),
            last: 0,
            hole_since: None,
            filling: false,
            waiting: Vec::new(),
            storing: false,
            batch_since: None,
            said_at: None,
        }
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_idle(&self) -> bool {
        let asked = matches!(&self.feed, Feed::Pending(asked) if !asked.is_empty());
        self.members.is_empty() && self.reading == 0 && self.waiting.is_empty() && !self.storing && !asked
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.unwrap_or(0)
    }

    /// Whether anybody has read, so that it is known how far it has come.
    pub(super) fn is_read(&self) -> bool {
        self.delivered.is_some()
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Postgres says that the channel has come this far, and everything up to there has been read by somebody.
    pub(super) fn read_up_to(&mut self, offset: u64) {
        self.last = self.last.max(offset);
        if self.delivered.is_none() {
            self.delivered = Some(offset);
            self.early = self.early.split_off(&(offset + 1));
        }
    }

    /// Messages have come, in whatever order, perhaps again. Returns those that can be given to readers now.
    pub(super) fn take(&mut self, now: Instant, said: impl IntoIterator<Item = Said>) -> Vec<Said> {
        for said in said {
            self.last = self.last.max(said.offset);
            if said.offset > self.delivered() || self.delivered.is_none() {
                self.early.insert(said.offset, said);
            }
        }
        let mut ready = Vec::new();
        if let Some(delivered) = &mut self.delivered {
            while let Some(said) = self.early.remove(&(*delivered + 1)) {
                *delivered += 1;
                ready.push(said);
            }
        }
        while self.early.len() > EARLY_MAX {
            // What is missing is read from Postgres, and this with it.
            self.early.pop_last();
        }
        for said in &ready {
            self.ring.push_back(said.clone());
        }
        let excess = self.ring.len().saturating_sub(RING_MAX);
        self.ring.drain(..excess);
        self.note_hole(now);
        ready
    }

    /// The channel has come this far, or something may have been lost.
    pub(super) fn heard(&mut self, now: Instant, last: u64) {
        self.last = self.last.max(last);
        self.note_hole(now);
    }

    fn note_hole(&mut self, now: Instant) {
        if self.delivered.is_none_or(|delivered| delivered >= self.last) {
            self.hole_since = None;
        } else if self.hole_since.is_none() {
            self.hole_since = Some(now);
        }
    }

    /// Whether Postgres is to be asked for what is missing.
    pub(super) fn must_fill(&self, now: Instant) -> bool {
        !self.filling && self.hole_since.is_some_and(|since| now.since(since) >= HOLE_FOR)
    }

    /// Asks again after another while.
    pub(super) fn fill_again_later(&mut self, now: Instant) {
        self.filling = false;
        self.hole_since = self.hole_since.map(|_| now);
        self.note_hole(now);
    }

    /// Whether all that was given to readers here after this offset is remembered.
    pub(super) fn remembers_since(&self, offset: u64) -> bool {
        self.ring.front().map_or(self.delivered() + 1, |said| said.offset) <= offset + 1
    }

    /// What is remembered of what was given to readers here after this offset.
    pub(super) fn since(&self, offset: u64) -> impl Iterator<Item = &Said> {
        self.ring.iter().filter(move |said| said.offset > offset)
    }
}

#[cfg(test)]
mod tests {
    use rally_store::Message;
    use rally_units::UserId;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn said(offset: u64) -> Said {
        Said::from(Message {
            offset,
            id: uuid::Uuid::nil(),
            user: UserId::from_bytes([1; 16]),
            kind: rally_store::UserKind::Guest,
            name: "ada".into(),
            text: offset.to_string(),
            nonce: offset.to_string(),
            edits: None,
            mentions: Vec::new(),
            sent_at: jiff::Timestamp::UNIX_EPOCH,
        })
    }

    fn channel() -> Channel {
        Channel::new(CancellationToken::new().drop_guard())
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    fn take(channel: &mut Channel, ms: u64, offsets: &[u64]) -> Vec<u64> {
        channel.take(at(ms), offsets.iter().copied().map(said)).iter().map(|said| said.offset).collect()
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let mut channel = channel();
        assert_eq!(take(&mut channel, 0, &[6, 5]), [0; 0], "nobody has read yet");
        channel.read_up_to(5);
        assert_eq!(take(&mut channel, 0, &[]), [6]);
        assert_eq!(take(&mut channel, 0, &[9, 6, 8]), [0; 0]);
        assert_eq!(take(&mut channel, 0, &[7, 7]), [7, 8, 9]);
        assert_eq!(take(&mut channel, 0, &[7, 8, 9]), [0; 0]);
        assert_eq!(channel.since(7).map(|said| said.offset).collect::<Vec<_>>(), [8, 9]);
        assert!(channel.remembers_since(5) && !channel.remembers_since(4));
        assert_eq!(channel.since(9).count(), 0);
    }

    #[test]
    fn a_hole_is_filled_after_a_while() {
        let mut channel = channel();
        channel.read_up_to(0);
        take(&mut channel, 0, &[1]);
        assert!(!channel.must_fill(at(10_000)));
        take(&mut channel, 0, &[3]);
        assert!(!channel.must_fill(at(199)) && channel.must_fill(at(200)));
        assert_eq!(take(&mut channel, 250, &[2]), [2, 3]);
        assert!(!channel.must_fill(at(10_000)));
        // The last one was lost, and only its offset is heard of.
        channel.heard(at(300), 4);
        assert!(!channel.must_fill(at(400)) && channel.must_fill(at(500)));
        channel.filling = true;
        assert!(!channel.must_fill(at(600)));
        channel.fill_again_later(at(600));
        assert!(!channel.must_fill(at(700)) && channel.must_fill(at(800)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut channel = channel();
        channel.read_up_to(0);
        let offsets: Vec<u64> = (2..5_000).collect();
        assert_eq!(take(&mut channel, 0, &offsets), [0; 0]);
        assert_eq!(channel.early.len(), EARLY_MAX);
        assert_eq!(take(&mut channel, 0, &[1]).len(), EARLY_MAX + 1);
        assert_eq!(channel.ring.len(), RING_MAX);
        assert!(channel.must_fill(at(200)), "what was dropped is read again");
    }
}
