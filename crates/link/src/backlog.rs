//! What waits for a slow reader.
//!
//! Messages keep their order and are never dropped: beyond a count or a size the reader is too slow to be served.
//! Snapshots are worth only what is newest: one waits per match, and a newer one takes its place.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use rally_units::MatchId;
use smallvec::SmallVec;

use crate::limits::{BACKLOG_BYTES_MAX, BACKLOG_MESSAGES_MAX};

/// Frames that a socket has not taken yet. Empty, it owns no memory.
#[derive(Debug, Default)]
pub struct Backlog {
    /// The rest of a frame of which the socket took a part: nothing may come between.
    rest: Bytes,
    messages: VecDeque<Bytes>,
    messages_bytes: usize,
    snapshots: SmallVec<[(MatchId, Bytes); 1]>,
}

/// The reader is too slow: more waits than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {BACKLOG_MESSAGES_MAX} messages or {BACKLOG_BYTES_MAX} bytes wait for this reader")]
pub struct Overflow;

impl Backlog {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.messages.is_empty() && self.snapshots.is_empty()
    }

    /// Adds a frame that must arrive.
    pub fn push_message(&mut self, frame: Bytes) -> Result<(), Overflow> {
        if self.messages.len() >= BACKLOG_MESSAGES_MAX || self.messages_bytes + frame.len() > BACKLOG_BYTES_MAX {
            return Err(Overflow);
        }
        self.messages_bytes += frame.len();
        self.messages.push_back(frame);
        Ok(())
    }

    /// Adds a snapshot's frame; true if it took the place of an older one.
    pub fn push_snapshot(&mut self, match_id: MatchId, frame: Bytes) -> bool {
        match self.snapshots.iter_mut().find(|(id, _)| *id == match_id) {
            Some((_, waiting)) => {
                *waiting = frame;
                true
            }
            None => {
                self.snapshots.push((match_id, frame));
                false
            }
        }
    }

    /// Keeps what a socket did not take of a frame that went past the backlog while that was empty.
    pub fn keep_rest(&mut self, rest: Bytes) {
        debug_assert!(self.is_empty(), "only an empty backlog is gone past");
        self.rest = rest;
    }

    /// Drops everything but the rest of a frame begun: what follows it will be the close.
    pub fn drop_waiting(&mut self) {
        self.messages = VecDeque::new();
        self.messages_bytes = 0;
        self.snapshots.clear();
    }

    /// What is to be written next, in order: the first few frames. Returns how many slices were filled.
    ///
    /// Messages go before snapshots: a `match_joined` must not be overtaken by the snapshots that follow it.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = (!self.rest.is_empty()).then_some(&self.rest);
        let frames = rest.into_iter().chain(&self.messages).chain(self.snapshots.iter().map(|(_, frame)| frame));
        let mut filled = 0;
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame);
            filled += 1;
        }
        filled
    }

    /// The socket took this many bytes. Returns how many frames were finished by them.
    pub fn advance(&mut self, mut taken_bytes: usize) -> usize {
        let mut finished = 0;
        while taken_bytes > 0 {
            if self.rest.is_empty() {
                self.rest = match self.messages.pop_front() {
                    Some(frame) => {
                        self.messages_bytes -= frame.len();
                        frame
                    }
                    None if self.snapshots.is_empty() => {
                        debug_assert!(false, "more was taken than there was");
                        return finished;
                    }
                    None => self.snapshots.remove(0).1,
                };
            }
            let step = taken_bytes.min(self.rest.len());
            self.rest.advance(step);
            taken_bytes -= step;
            finished += usize::from(self.rest.is_empty());
        }
        if self.is_empty() {
            // A reader that was slow once does not keep the memory for ever.
            *self = Self::default();
        }
        finished
    }
}
