//! What a tick hands to its caller.

use bytes::Bytes;
use rally_protocol::client::{
    codec::{self, Encoding},
    v1::{EventKind, MatchEvent},
};
use rally_units::Tick;

use crate::{FinishedMatch, referee::Happening};

/// A `match_event`, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutEvent {
    /// Its number: rises by one per match, from 1.
    pub n: u32,
    /// When it happened.
    pub tick: Tick,
    /// What it tells.
    pub kind: EventKind,
    /// Of a goal: the score with it, left and right.
    pub score: Option<[u8; 2]>,
    /// The finished msgpack message.
    pub message: Bytes,
}

impl OutEvent {
    pub(crate) fn new(event: &MatchEvent) -> Self {
        let mut message = Vec::with_capacity(48);
        let encoded = codec::encode_into(event, Encoding::Msgpack, &mut message);
        debug_assert!(encoded.is_ok(), "every event can be written");
        Self {
            n: event.n,
            tick: event.tick,
            kind: event.event,
            score: event.score.filter(|_| event.event == EventKind::Goal),
            message: Bytes::from(message),
        }
    }
}

/// Things to count, since the last tick of the same match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Inputs of people that reached the rules.
    pub inputs_applied: u32,
    /// Inputs of people that were waiting for one before them when their generation ended.
    pub inputs_dropped: u32,
    /// 1 if the replay log reached its bound in this tick.
    pub replays_cut: u32,
    /// Events that the match will not leave behind, because there were too many.
    pub events_unrecorded: u32,
}

/// What a tick hands to its caller, who owns one and passes it to every tick of every match: each tick empties it
/// first.
#[derive(Debug, Default)]
pub struct Outputs {
    /// What happened since the last tick, in order of `n`.
    pub events: Vec<OutEvent>,
    /// The whole match, in the tick after which it is over. Comes once.
    pub finished: Option<Box<FinishedMatch>>,
    /// Things to count.
    pub counters: Counters,
    /// Room for the rules' events: 6 KiB, which is why matches share it.
    pub(crate) sim_events: rally_sim::Events,
    pub(crate) happenings: Vec<Happening>,
}

impl Outputs {
    /// Empty ones.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.finished = None;
        self.counters = Counters::default();
        self.happenings.clear();
    }
}
