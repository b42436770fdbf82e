//! The inputs of one seat on their way to the match's owner.
//!
//! The edge numbers them without holes and keeps each until the owner says that it is applied. The owner applies them
//! in that order, each once: sending one again is always safe.

use std::collections::VecDeque;

use rally_protocol::{
    client::v1::{Dir, Side},
    cluster::v1::InputRecord,
    limits::KEPT_INPUTS_MAX,
};

use crate::limits::SNAPSHOTS_UNTIL_RESENT;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is numbered and waits to be sent.
    New,
    /// As many wait as may: it took the place of the newest, which had not been sent. What is held now and whether
    /// the skill was pressed are not lost; the moment in between is.
    Merged,
    /// As many wait as may, and all are under way: it is dropped.
    Dropped,
}

/// The inputs of one seat and generation that the owner has not applied yet.
#[derive(Debug)]
pub struct SeatInputs {
    side: Side,
    generation: u16,
    next_n: u32,
    kept: VecDeque<InputRecord>,
    /// How many of `kept`, at its end, are to be sent.
    unsent: usize,
    /// The highest number that has ever left this edge.
    sent_max: u32,
    /// Snapshots since the last progress while something was under way.
    waited: u8,
}

impl SeatInputs {
    /// A seat whose player has just been attached under this generation.
    pub fn new(side: Side, generation: u16) -> Self {
        Self { side, generation, next_n: 1, kept: VecDeque::new(), unsent: 0, sent_max: 0, waited: 0 }
    }

    /// The seat's generation.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// Whether something is to be sent.
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Inputs not applied yet.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether all are applied.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes an input from the client.
    pub fn push(&mut self, seq: u32, dir: Dir, press: bool) -> Kept {
        if self.kept.len() >= KEPT_INPUTS_MAX {
            return match self.kept.back_mut() {
                // What has left this edge may have been applied, and keeps its meaning.
                Some(newest) if newest.n > self.sent_max => {
                    *newest = InputRecord { seq, dir, press: press | newest.press, ..*newest };
                    Kept::Merged
                }
                _ => Kept::Dropped,
            };
        }
        let n = self.next_n;
        self.next_n += 1;
        self.kept.push_back(InputRecord { side: self.side, generation: self.generation, n, seq, dir, press });
        self.unsent += 1;
        Kept::New
    }

    /// Appends what is to be sent, and counts it as sent.
    pub fn send(&mut self, out: &mut Vec<InputRecord>) {
        out.extend(self.kept.range(self.kept.len() - self.unsent..));
        self.unsent = 0;
        self.sent_max = self.next_n - 1;
    }

    /// A snapshot says that the inputs up to `n` of `generation` are applied.
    pub fn applied(&mut self, generation: u16, n: u32) {
        if generation != self.generation {
            return;
        }
        let before = self.kept.len();
        while self.kept.front().is_some_and(|first| first.n <= n) {
            self.kept.pop_front();
        }
        self.unsent = self.unsent.min(self.kept.len());
        let under_way = self.kept.len() > self.unsent;
        if self.kept.len() < before || !under_way {
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited >= SNAPSHOTS_UNTIL_RESENT {
            self.send_again();
        }
    }

    /// All that is kept is to be sent again: it may be lost, or the owner is another one now.
    pub fn send_again(&mut self) {
        self.unsent = self.kept.len();
        self.waited = 0;
    }
}
