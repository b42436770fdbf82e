//! Numbered entries that a peer has not acknowledged yet.
//!
//! Go-back-n: the receiver takes numbers only in order, so when the oldest entry is overdue, it and all after it
//! are sent again. Bundles are rarely lost and come in order, so a selective scheme would seldom save anything.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rally_protocol::{
    cluster::EntryKind,
    limits::{ENTRY_PAYLOAD_BYTES_MAX, UNACKED_ENTRIES_MAX},
};
use rally_units::{Epoch, Instant, MatchId};

use super::SendError;

/// Payload bytes that wait for one peer at most. 4,096 entries of the largest size would be 192 MiB.
pub(super) const UNACKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An entry without acknowledgement is sent again after this time,
const REPEAT_MIN: Duration = Duration::from_millis(100);
/// then after twice as long each time, up to this, for as long as nothing at all is heard of the peer.
const REPEAT_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) kind: EntryKind,
    pub(super) match_id: MatchId,
    pub(super) epoch: Epoch,
    pub(super) payload: Bytes,
}

impl Numbered {
    /// What takes the place of an entry that nobody needs any more, so that numbers have no hole. Its empty payload is
    /// how the receiver knows it.
    fn void() -> Self {
        Self {
            kind: EntryKind::Message,
            match_id: MatchId::from_bytes([0; 16]),
            epoch: Epoch(0),
            payload: Bytes::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Numbered>,
    bytes: usize,
    /// The number of the entry in front.
    first: u32,
    /// How many from the front have been sent since the last rewind.
    sent: usize,
    /// The highest number ever sent: no honest acknowledgement is above it.
    sent_max: u32,
    repeat_at: Option<Instant>,
    repeat_after: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            first: 1,
            sent: 0,
            sent_max: 0,
            repeat_at: None,
            repeat_after: REPEAT_MIN,
        }
    }
}

impl Window {
    pub(super) fn push(&mut self, entry: Numbered) -> Result<(), SendError> {
        let bytes = entry.payload.len();
        if bytes > ENTRY_PAYLOAD_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        let full = self.entries.len() >= UNACKED_ENTRIES_MAX
            || self.bytes + bytes > UNACKED_BYTES_MAX
            || self.next_number() == u32::MAX;
        if full {
            return Err(SendError::WindowFull);
        }
        self.bytes += bytes;
        self.entries.push_back(entry);
        Ok(())
    }

    /// The number that the next entry will get.
    pub(super) fn next_number(&self) -> u32 {
        self.first + self.entries.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.entries.len()
    }

    /// Goes back to the front if the oldest entry is overdue. Returns how many will be repeated.
    pub(super) fn rewind_if_due(&mut self, now: Instant) -> usize {
        if self.repeat_at.is_none_or(|at| at > now) {
            return 0;
        }
        self.repeat_at = None;
        self.repeat_after = (self.repeat_after * 2).min(REPEAT_MAX);
        std::mem::take(&mut self.sent)
    }

    /// Hands out what has not been sent, in order, each with its number.
    pub(super) fn send_unsent(&mut self, now: Instant, mut send: impl FnMut(u32, &Numbered)) {
        for (i, entry) in self.entries.iter().enumerate().skip(self.sent) {
            send(self.first + i as u32, entry);
        }
        self.sent = self.entries.len();
        self.sent_max = self.sent_max.max(self.next_number() - 1);
        self.wait_for_answer(now);
    }

    /// Starts the timer of a repeat, if it does not run and there is something to repeat.
    fn wait_for_answer(&mut self, now: Instant) {
        if self.repeat_at.is_none() && !self.entries.is_empty() {
            self.repeat_at = Some(now + self.repeat_after);
        }
    }

    pub(super) fn repeat_at(&self) -> Option<Instant> {
        self.repeat_at
    }

    /// The peer lives, so it is worth repeating soon.
    pub(super) fn heard(&mut self) {
        self.repeat_after = REPEAT_MIN;
    }

    /// Drops what is acknowledged up to and with `number`. `false` if that was never sent.
    pub(super) fn acknowledge(&mut self, now: Instant, number: u32) -> bool {
        if number > self.sent_max {
            return false;
        }
        let acknowledged = ((number + 1).saturating_sub(self.first) as usize).min(self.entries.len());
        if acknowledged > 0 {
            self.bytes -= self.entries.drain(..acknowledged).map(|entry| entry.payload.len()).sum::<usize>();
            self.first += acknowledged as u32;
            self.sent = self.sent.saturating_sub(acknowledged);
            self.repeat_at = None;
            if self.sent > 0 {
                self.wait_for_answer(now);
            }
        }
        true
    }

    /// Starts over for a peer's new life, keeping only entries from number `keep_from` on. Returns how many were
    /// dropped.
    pub(super) fn restart(&mut self, keep_from: u32) -> usize {
        let dropped = (keep_from.saturating_sub(self.first) as usize).min(self.entries.len());
        let entries = self.entries.split_off(dropped);
        let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
        *self = Self { entries, bytes, ..Self::default() };
        dropped
    }

    /// Empties every entry's payload. Returns how many said something.
    pub(super) fn void(&mut self) -> usize {
        let said = self.entries.iter().filter(|entry| !entry.payload.is_empty()).count();
        self.entries.iter_mut().for_each(|entry| *entry = Numbered::void());
        self.bytes = 0;
        self.sent = 0;
        self.repeat_at = None;
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Numbered {
        Numbered { payload: Bytes::from(vec![1; bytes]), ..Numbered::void() }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn sent(window: &mut Window, now: Instant) -> Vec<u32> {
        let mut numbers = Vec::new();
        window.send_unsent(now, |number, _| numbers.push(number));
        numbers
    }

    #[test]
    fn it_is_bounded_in_entries_and_in_bytes() {
        let mut window = Window::default();
        for _ in 0..UNACKED_ENTRIES_MAX {
            assert_eq!(window.push(entry(1)), Ok(()));
        }
        assert_eq!(window.push(entry(1)), Err(SendError::WindowFull));

        let mut window = Window::default();
        for _ in 0..UNACKED_BYTES_MAX / ENTRY_PAYLOAD_BYTES_MAX {
            assert_eq!(window.push(entry(ENTRY_PAYLOAD_BYTES_MAX)), Ok(()));
        }
        assert_eq!(window.push(entry(ENTRY_PAYLOAD_BYTES_MAX)), Err(SendError::WindowFull));
        assert_eq!(window.push(entry(ENTRY_PAYLOAD_BYTES_MAX + 1)), Err(SendError::TooLarge));
    }

    #[test]
    fn repeats_go_back_to_the_oldest_and_slow_down_in_silence() {
        let mut window = Window::default();
        for _ in 0..3 {
            window.push(entry(1)).expect("room");
        }
        assert_eq!(sent(&mut window, at(0)), [1, 2, 3]);
        assert!(window.acknowledge(at(50), 1));
        assert_eq!(window.rewind_if_due(at(149)), 0, "100 ms after the last progress");
        assert_eq!(window.rewind_if_due(at(150)), 2);
        assert_eq!(sent(&mut window, at(150)), [2, 3]);
        assert_eq!(window.repeat_at(), Some(at(350)), "nothing heard: twice as long");
        for _ in 0..10 {
            let at = window.repeat_at().expect("two wait");
            window.rewind_if_due(at);
            sent(&mut window, at);
        }
        let before = window.repeat_at().expect("two wait");
        window.rewind_if_due(before);
        sent(&mut window, before);
        assert_eq!(window.repeat_at(), Some(before + REPEAT_MAX), "at most this long");
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_counts_for_nothing() {
        let mut window = Window::default();
        window.push(entry(1)).expect("room");
        assert!(!window.acknowledge(at(0), 1));
        sent(&mut window, at(0));
        assert!(!window.acknowledge(at(0), u32::MAX));
        assert!(!window.is_empty());
        assert!(window.acknowledge(at(0), 1) && window.is_empty());
        assert_eq!(window.repeat_at(), None);
    }
}
