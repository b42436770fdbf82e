//! One match as an edge sees it: whose word counts, and what is still to be told to its owner.
//!
//! An edge takes a word for a match only from its owner: the node that answered its last `Join`, or one that speaks
//! with a higher epoch. Epochs only rise. After 250 ms of silence it takes none at all until it has attached again,
//! since meanwhile another may have become the owner unnoticed.

use rally_protocol::{
    client::v1::{Dir, Side},
    cluster::v1::{InputRecord, SnapshotHead},
};
use rally_units::{Epoch, Instant, NodeId, Tick};

use crate::{
    inputs::{Kept, SeatInputs},
    limits::{ATTACH_AGAIN, MATCH_SILENCE, RESULT_SILENCE},
};

/// Why an entry about a match is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A higher epoch has been seen: a former owner speaks.
    OlderEpoch,
    /// The epoch is right but its owner is another node.
    NotTheOwner,
    /// Not attached, or no longer.
    Detached,
    /// A snapshot that is not newer than the last.
    OlderTick,
    /// An event that has been passed on.
    Repeated,
    /// Events are missing before this one: attach again for the whole picture.
    Gap,
}

impl Refusal {
    /// A fixed label for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OlderEpoch => "older_epoch",
            Self::NotTheOwner => "not_the_owner",
            Self::Detached => "detached",
            Self::OlderTick => "older_tick",
            Self::Repeated => "repeated_event",
            Self::Gap => "missing_event",
        }
    }
}

/// Attach: find the owner and repeat `Join` for each local session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Joins are under way; to be repeated at `again`.
    Attaching { again: Instant },
    /// The owner has been heard at `heard`.
    Attached { owner: NodeId, heard: Instant },
}

/// What remains to come from the owner, and so how long it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    /// A snapshot each tick.
    Ticks,
    /// Only the result.
    Result,
    /// Nothing.
    Nothing,
}

/// One match as an edge sees it.
#[derive(Debug)]
pub struct Relay {
    link: Link,
    /// The highest seen.
    epoch: Epoch,
    /// The newest snapshot of this epoch.
    tick: Option<Tick>,
    last_event: u32,
    expecting: Expecting,
    /// The seats whose players are on this edge.
    seats: [Option<SeatInputs>; 2],
}

impl Relay {
    /// A match that somebody here wants to join. The caller attaches it now.
    pub fn new(now: Instant) -> Self {
        Self {
            link: Link::Attaching { again: now + ATTACH_AGAIN },
            epoch: Epoch(0),
            tick: None,
            last_event: 0,
            expecting: Expecting::Ticks,
            seats: [None, None],
        }
    }

    /// The owner, while attached.
    pub fn owner(&self) -> Option<NodeId> {
        match self.link {
            Link::Attached { owner, .. } => Some(owner),
            Link::Attaching { .. } => None,
        }
    }

    /// The highest epoch seen.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The `n` of the last event passed on.
    pub fn last_event(&self) -> u32 {
        self.last_event
    }

    /// A node answers a `Join` with the whole picture, up to event `last_event`: it is the owner.
    ///
    /// `over` and `finished` say whether the picture shows a match whose result is recorded, or at least decided.
    pub fn attached(
        &mut self,
        now: Instant,
        from: NodeId,
        epoch: Epoch,
        last_event: u32,
        finished: bool,
        over: bool,
    ) -> Result<(), Refusal> {
        if epoch < self.epoch {
            return Err(Refusal::OlderEpoch);
        }
        if let Link::Attached { owner, .. } = self.link
            && epoch == self.epoch
            && owner != from
        {
            return Err(Refusal::NotTheOwner);
        }
        if epoch > self.epoch {
            self.change_epoch(epoch);
        }
        self.link = Link::Attached { owner: from, heard: now };
        self.last_event = self.last_event.max(last_event);
        if over {
            self.expecting = Expecting::Nothing;
        } else if finished && self.expecting == Expecting::Ticks {
            self.expecting = Expecting::Result;
        }
        Ok(())
    }

    /// Judges a snapshot. Its seats' inputs are done with, or prepared to be sent again.
    pub fn snapshot(&mut self, now: Instant, from: NodeId, epoch: Epoch, head: &SnapshotHead) -> Result<(), Refusal> {
        self.hear(now, from, epoch)?;
        if self.tick.is_some_and(|newest| head.tick <= newest) {
            return Err(Refusal::OlderTick);
        }
        self.tick = Some(head.tick);
        for (side, seat) in self.seats.iter_mut().enumerate() {
            if let Some(seat) = seat {
                seat.progress(head.generation[side], head.applied[side], head.durable[side]);
            }
        }
        Ok(())
    }

    /// Judges event `n`. After [`Refusal::Gap`] the relay is attaching, and the caller attaches it now.
    pub fn event(&mut self, now: Instant, from: NodeId, epoch: Epoch, n: u32) -> Result<(), Refusal> {
        self.hear(now, from, epoch)?;
        if n <= self.last_event {
            return Err(Refusal::Repeated);
        }
        if n > self.last_event + 1 {
            self.detach(now);
            return Err(Refusal::Gap);
        }
        self.last_event = n;
        Ok(())
    }

    /// Judges a message that is not numbered.
    pub fn message(&mut self, now: Instant, from: NodeId, epoch: Epoch) -> Result<(), Refusal> {
        self.hear(now, from, epoch)
    }

    /// The play is over and the result is being recorded: snapshots come no more.
    pub fn finished(&mut self) {
        if self.expecting == Expecting::Ticks {
            self.expecting = Expecting::Result;
        }
    }

    /// The result has been told: nothing more comes.
    pub fn over(&mut self) {
        self.expecting = Expecting::Nothing;
    }

    /// Under which generation the seat's player is on this edge.
    pub fn generation(&self, side: Side) -> Option<u16> {
        self.seats[side.index()].as_ref().map(SeatInputs::generation)
    }

    /// The owner is not to be relied on (it restarted, or says that it is none). The caller attaches now.
    pub fn detach(&mut self, now: Instant) {
        self.link = Link::Attaching { again: now + ATTACH_AGAIN };
    }

    /// When [`Relay::timeout`] is next to be called; `None` when nothing more is expected.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.link, self.expecting) {
            (Link::Attaching { again }, _) => Some(again),
            (Link::Attached { .. }, Expecting::Nothing) => None,
            (Link::Attached { heard, .. }, Expecting::Ticks) => Some(heard + MATCH_SILENCE),
            (Link::Attached { heard, .. }, Expecting::Result) => Some(heard + RESULT_SILENCE),
        }
    }

    /// Time has passed: whether to attach (again).
    pub fn timeout(&mut self, now: Instant) -> Option<Attach> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.detach(now);
        Some(Attach)
    }

    /// A player on this edge has the seat under this generation. Inputs of an earlier one are void: the owner
    /// refuses them, and the client begins again at 1.
    pub fn seat(&mut self, side: Side, generation: u16) {
        self.seats[side.index()] = Some(SeatInputs::new(side, generation));
    }

    /// The seat's player is no longer on this edge.
    pub fn vacate(&mut self, side: Side) {
        self.seats[side.index()] = None;
    }

    /// A player's input; `None` if that seat is not on this edge.
    pub fn input(&mut self, side: Side, seq: u32, dir: Dir, press: bool) -> Option<Kept> {
        Some(self.seats[side.index()].as_mut()?.push(seq, dir, press))
    }

    /// The input just taken for this seat was read at `at`: see [`SeatInputs::time`].
    pub fn time_input(&mut self, side: Side, at: Instant) {
        if let Some(seat) = &mut self.seats[side.index()] {
            seat.time(at);
        }
    }

    /// When inputs were read that the last snapshot was the first to show as applied: at most one of each seat.
    pub fn take_answered(&mut self) -> impl Iterator<Item = Instant> {
        self.seats.iter_mut().flatten().filter_map(SeatInputs::take_answered)
    }

    /// The tick of the newest snapshot of this epoch.
    pub fn newest_tick(&self) -> Option<Tick> {
        self.tick
    }

    /// Whether inputs are to be sent now. Nothing is sent while there is no owner to send to.
    pub fn has_unsent(&self) -> bool {
        self.owner().is_some() && self.seats.iter().flatten().any(SeatInputs::has_unsent)
    }

    /// Appends the inputs that are to be sent, and counts them as sent.
    pub fn send(&mut self, out: &mut Vec<InputRecord>) {
        if self.owner().is_some() {
            for seat in self.seats.iter_mut().flatten() {
                seat.send(out);
            }
        }
    }

    /// Whether this sender speaks for the match; if so, it has been heard.
    fn hear(&mut self, now: Instant, from: NodeId, epoch: Epoch) -> Result<(), Refusal> {
        if epoch < self.epoch {
            return Err(Refusal::OlderEpoch);
        }
        let risen = epoch > self.epoch;
        if risen {
            self.change_epoch(epoch);
        }
        // Silence counts from when something should have come. `timeout` will say so too, and attach.
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            return Err(Refusal::Detached);
        }
        match &mut self.link {
            Link::Attaching { .. } => Err(Refusal::Detached),
            Link::Attached { owner, .. } if *owner != from && !risen => Err(Refusal::NotTheOwner),
            Link::Attached { owner, heard } => {
                *owner = from;
                *heard = now;
                Ok(())
            }
        }
    }

    /// Another owner. It has what the last one had applied when it handed over or died: the rest is sent again.
    fn change_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.tick = None;
        for seat in self.seats.iter_mut().flatten() {
            seat.change_owner();
        }
    }
}
