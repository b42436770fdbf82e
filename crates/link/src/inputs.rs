//! The inputs of one seat on their way to the match's owner.
//!
//! The edge numbers them without holes and keeps each until the owner says that it is durable: that whoever becomes the
//! next owner has it, too. The owner applies them in that order, each once: sending one again is always safe.

use std::collections::VecDeque;

use rally_protocol::{
    client::v1::{Dir, Side},
    cluster::v1::InputRecord,
    limits::KEPT_INPUTS_MAX,
};
use rally_units::Instant;

use crate::limits::SNAPSHOTS_UNTIL_RESENT;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is numbered and waits to be sent.
    New,
    /// As many wait as may: it took the place of the newest, which had not been sent. What is held now and whether
    /// the skill was pressed are not lost; the moment in between is.
    Merged,
    /// As many wait as may, none of them applied, and all under way: it is dropped.
    Dropped,
}

/// The inputs of one seat and generation that may be lost with the owner.
#[derive(Debug)]
pub struct SeatInputs {
    side: Side,
    generation: u16,
    next_n: u32,
    kept: VecDeque<InputRecord>,
    /// How many of `kept`, at its end, are to be sent.
    unsent: usize,
    /// The newest that is kept no more.
    let_go: Option<InputRecord>,
    /// The highest number that the present owner has applied.
    applied: u32,
    /// The highest number that has ever left this edge.
    sent_max: u32,
    /// Snapshots since the last progress while something was under way.
    waited: u8,
    /// The input whose way is being timed, one at a time, and when it was read.
    timed: Option<(u32, Instant)>,
    /// When the one was read that a snapshot has just shown as applied.
    answered: Option<Instant>,
}

impl SeatInputs {
    /// A seat whose player has just been attached under this generation.
    pub fn new(side: Side, generation: u16) -> Self {
        Self {
            side,
            generation,
            next_n: 1,
            kept: VecDeque::new(),
            let_go: None,
            unsent: 0,
            applied: 0,
            sent_max: 0,
            waited: 0,
            timed: None,
            answered: None,
        }
    }

    /// The seat's generation.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// Whether something is to be sent.
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Inputs kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes an input from the client.
    ///
    /// When as many are kept as may be, the oldest goes, if it is applied: it is lost only if the owner is, too.
    pub fn push(&mut self, seq: u32, dir: Dir, press: bool) -> Kept {
        if self.kept.len() >= KEPT_INPUTS_MAX && self.kept.front().is_some_and(|oldest| oldest.n <= self.applied) {
            self.let_go = self.kept.pop_front();
            self.unsent = self.unsent.min(self.kept.len());
        }
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

    /// The newest input was read at `at`: its way is timed, unless another's still is.
    pub fn time(&mut self, at: Instant) {
        self.timed.get_or_insert((self.next_n - 1, at));
    }

    /// When the timed input was read, once, after a snapshot has shown it as applied.
    pub fn take_answered(&mut self) -> Option<Instant> {
        self.answered.take()
    }

    /// Appends what is to be sent, and counts it as sent.
    pub fn send(&mut self, out: &mut Vec<InputRecord>) {
        out.extend(self.kept.range(self.kept.len() - self.unsent..));
        self.unsent = 0;
        self.sent_max = self.next_n - 1;
    }

    /// A snapshot says that of `generation` the inputs up to `applied` are applied, and those up to `durable` will not
    /// be lost.
    pub fn progress(&mut self, generation: u16, applied: u32, durable: u32) {
        if generation != self.generation {
            return;
        }
        if let Some((_, at)) = self.timed.take_if(|(timed, _)| *timed <= applied) {
            self.answered = Some(at);
        }
        while self.kept.front().is_some_and(|first| first.n <= durable) {
            self.let_go = self.kept.pop_front();
        }
        self.make_up(applied);
        let advanced = applied > self.applied;
        self.applied = self.applied.max(applied);
        self.unsent = self.unsent.min(self.not_applied());
        let under_way = self.not_applied() > self.unsent;
        if advanced || !under_way {
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited >= SNAPSHOTS_UNTIL_RESENT {
            self.send_again();
        }
    }

    /// The owner lacks what was let go: it has gone on from a copy that is older than was said, or too old. It would wait
    /// for those numbers for ever. They come again, all as the last of them.
    fn make_up(&mut self, applied: u32) {
        let Some(last) = self.let_go.filter(|last| applied < last.n) else { return };
        let first_kept = self.kept.front().map_or(last.n + 1, |first| first.n);
        let lacking = applied + 1..first_kept.min(applied + 1 + KEPT_INPUTS_MAX as u32);
        if lacking.is_empty() {
            return;
        }
        for n in lacking.rev() {
            self.kept.push_front(InputRecord { n, press: false, ..last });
        }
        self.send_again();
    }

    /// Those not applied are to be sent again: they may be lost.
    fn send_again(&mut self) {
        self.unsent = self.not_applied();
        self.waited = 0;
    }

    /// Another owner has the match now, which may have applied less than the last: all are to be sent again.
    pub fn change_owner(&mut self) {
        self.applied = 0;
        self.send_again();
    }

    /// How many of `kept`, at its end, are not applied.
    fn not_applied(&self) -> usize {
        self.kept.len() - self.kept.partition_point(|kept| kept.n <= self.applied)
    }
}
