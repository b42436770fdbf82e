//! One connection's standing in one match: where it is, and which input must come next.

use rally_protocol::client::v1::{Place, Side};
use rally_units::MatchId;

/// Why an input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputRefusal {
    /// Spectators have no paddle.
    Spectator,
    /// `side` is given in a match that is not local.
    SideGiven,
    /// `side` is missing in a local match.
    SideMissing,
    /// This number came before.
    Back {
        /// What had to come.
        expected: u32,
    },
    /// Numbers are missing before this one.
    Hole {
        /// What had to come.
        expected: u32,
    },
    /// Sent before the client knew of the last `match_joined`: not its fault, and no use any more.
    Stale,
}

/// Where a connection is in a match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) match_id: MatchId,
    /// `None` while the answer to the first `match_join` is awaited.
    pub(crate) place: Option<Place>,
    sequences: [Sequence; 2],
}

/// The numbers of one paddle's inputs.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    /// What must come next.
    expected: u32,
    /// After a second `match_joined`: what would have come next had it not been sent. Inputs that were under way
    /// meanwhile count on from there, until the client begins again at 1.
    before: Option<u32>,
}

impl Standing {
    pub(crate) fn asked(match_id: MatchId) -> Self {
        Self { match_id, place: None, sequences: [Sequence { expected: 1, before: None }; 2] }
    }

    /// A `match_joined` goes to the client: its numbers begin again.
    pub(crate) fn joined(&mut self, place: Place) {
        self.place = Some(place);
        for sequence in &mut self.sequences {
            let before = if sequence.expected > 1 { Some(sequence.expected) } else { sequence.before };
            *sequence = Sequence { expected: 1, before };
        }
    }

    /// Judges an input; the paddle that it moves.
    pub(crate) fn input(&mut self, side: Option<Side>, seq: u32) -> Result<Side, InputRefusal> {
        let side = match (self.place, side) {
            (Some(Place::Spectator) | None, _) => return Err(InputRefusal::Spectator),
            (Some(Place::Both), Some(side)) => side,
            (Some(Place::Both), None) => return Err(InputRefusal::SideMissing),
            (Some(Place::Left | Place::Right), Some(_)) => return Err(InputRefusal::SideGiven),
            (Some(Place::Left), None) => Side::Left,
            (Some(Place::Right), None) => Side::Right,
        };
        self.sequences[side.index()].next(seq).map(|()| side)
    }
}

impl Sequence {
    fn next(&mut self, seq: u32) -> Result<(), InputRefusal> {
        if seq == self.expected {
            *self = Self { expected: seq.saturating_add(1), before: None };
            return Ok(());
        }
        if self.before == Some(seq) {
            self.before = Some(seq.saturating_add(1));
            return Err(InputRefusal::Stale);
        }
        let expected = self.expected;
        if seq < expected {
            return Err(InputRefusal::Back { expected });
        }
        // Counting goes on behind the hole: the client has been told, and would otherwise be refused for ever.
        self.expected = seq.saturating_add(1);
        Err(InputRefusal::Hole { expected })
    }
}
